"use strict";
// Nothing here is needed to read the page or to acknowledge: it refreshes, counts down, and says when there is no network.
(function () {
  var every = 20000, offset = 0, busy = false, timer = 0;
  function page() { return document.getElementById("page"); }
  function lasting(ms) {
    var m = Math.floor(ms / 60000);
    if (m < 1) return "不到 1 分钟";
    if (m < 60) return m + " 分钟";
    var h = Math.floor(m / 60); m = m % 60;
    if (h < 48) return m ? h + " 小时 " + m + " 分" : h + " 小时";
    var d = Math.floor(h / 24); h = h % 24;
    return h ? d + " 天 " + h + " 小时" : d + " 天";
  }
  function count() {
    var now = Date.now() + offset, all = document.querySelectorAll("[data-until]");
    for (var i = 0; i < all.length; i++) {
      var left = Number(all[i].getAttribute("data-until")) - now;
      all[i].textContent = left > 0 ? "还剩 " + lasting(left) : "已超时 " + lasting(-left);
      if (left <= 0) all[i].classList.add("late");
    }
  }
  function cutOff(said) {
    var box = document.getElementById("cut-off");
    if (box) { box.textContent = said; box.hidden = !said; }
  }
  function show(text) {
    var box = document.createElement("template");
    box.innerHTML = text;
    var fresh = box.content.getElementById("page");
    if (!fresh) throw new Error("no page");
    var opened = [], i, all = page().querySelectorAll("details");
    for (i = 0; i < all.length; i++) opened.push(all[i].open);
    page().replaceWith(fresh);
    all = fresh.querySelectorAll("details");
    for (i = 0; i < all.length; i++) if (opened[i]) all[i].open = true;
    begin();
  }
  function load(method, failed) {
    if (busy) return;
    busy = true;
    var stop = new AbortController(), limit = setTimeout(function () { stop.abort(); }, 15000);
    fetch(location.href, { method: method, cache: "no-store", credentials: "same-origin", signal: stop.signal, headers: { "X-Part": "page" } })
      .then(function (answer) {
        if (answer.status >= 429) throw new Error("not now");
        // The session has to be renewed; the log-in page does it, and leads back.
        if (answer.redirected && new URL(answer.url).pathname === "/login") location.href = answer.url;
        return answer.text();
      })
      .then(show)
      .catch(function () { failed(); })
      .then(function () { clearTimeout(limit); busy = false; });
  }
  function refresh() {
    if (document.hidden) return;
    load("GET", function () { cutOff("网络中断，显示的是 " + page().getAttribute("data-as-of") + " 的情况"); });
  }
  function begin() {
    offset = Number(page().getAttribute("data-now")) - Date.now();
    cutOff("");
    count();
    var form = document.getElementById("take");
    if (form) form.addEventListener("submit", function (event) {
      event.preventDefault();
      var button = form.querySelector("button"), said = button.textContent;
      if (button.disabled) return;
      button.disabled = true;
      button.textContent = "正在接单…";
      busy = false;
      load("POST", function () {
        button.disabled = false;
        button.textContent = said;
        cutOff("没有网络，还没有接单，请再点一次");
      });
    });
    clearInterval(timer);
    if (page().getAttribute("data-live") === "1") timer = setInterval(refresh, every);
  }
  setInterval(count, 1000);
  document.addEventListener("visibilitychange", refresh);
  begin();
})();
