"use strict";
(() => {
  const at = (id) => document.getElementById(id);
  const said = at("said");
  const query = new URLSearchParams(location.search);
  const fragment = new URLSearchParams(location.hash.slice(1));
  const invitation = fragment.get("invitation");
  // The secret stays in no history and in no bookmark.
  if (location.hash) history.replaceState(null, "", location.pathname + location.search);

  // Only to a path of ours: the browser resolves it, and says whose it is.
  const next = () => {
    const wanted = query.get("next");
    if (!wanted || !/^\/(?![\/\\])/.test(wanted)) return null;
    const url = new URL(wanted, location.origin);
    return url.origin === location.origin ? url.pathname + url.search + url.hash : null;
  };

  const say = (text) => { said.textContent = text; said.hidden = !text; };
  const show = (id) => { for (const each of ["log-in", "first", "done"]) at(each).hidden = each !== id; };

  const call = async (method, path, body) => {
    const options = { method, credentials: "same-origin", headers: {} };
    if (body !== undefined) {
      options.headers["Content-Type"] = "application/json";
      options.body = JSON.stringify(body);
    }
    const answer = await fetch("/api/v1" + path, options);
    return { ok: answer.ok, status: answer.status, wait: answer.headers.get("Retry-After"), body: await answer.json().catch(() => ({})) };
  };

  const refused = (answer) => {
    if (answer.status === 429) return `尝试次数过多，请 ${answer.wait} 秒后再试。`;
    if (answer.status === 422) return (answer.body.errors || []).map((each) => each.message).join("；") || "填写有误。";
    if (answer.status === 401) return invitation ? "这个链接已用过、已作废或已过期，请管理员重新发一个。" : "账号或密码不对。";
    if (answer.status === 403) return "请从本系统自己的网址登录。";
    return "系统暂时不能登录，请稍后再试。";
  };

  const inside = async () => {
    const me = await call("GET", "/me");
    if (!me.ok) return false;
    const onward = next();
    if (onward && !query.has("stay")) { location.replace(onward); return true; }
    at("who").textContent = (me.body.display_name || me.body.name) + "（" + me.body.role_label + "）";
    show("done");
    return true;
  };

  // Two windows must not show the same refresh token: the second one would end the session.
  const renewed = async () => {
    const renew = async () => (await call("GET", "/me")).ok || (await call("POST", "/session/refresh", {})).ok;
    return navigator.locks ? navigator.locks.request("underfoot-refresh", renew) : renew();
  };

  const submit = (form, work) => form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button");
    button.disabled = true;
    say("");
    try {
      const answer = await work();
      if (answer === null) return;
      if (answer.ok) { form.reset(); if (!(await inside())) say("浏览器没有保存登录状态，请允许本站的 Cookie。"); }
      else say(refused(answer));
    } catch {
      say("连不上系统，请检查网络后再试。");
    } finally {
      button.disabled = false;
    }
  });

  submit(at("log-in"), () => call("POST", "/session", { name: at("name").value.trim(), password: at("password").value, carrier: "cookie" }));
  submit(at("first"), async () => {
    if (at("new").value !== at("again").value) { say("两次输入的密码不一样。"); return null; }
    return call("POST", "/session/password", { invitation, new_password: at("new").value, carrier: "cookie" });
  });
  const leave = (path) => async () => { await call("DELETE", path); show("log-in"); };
  at("out").addEventListener("click", leave("/session"));
  at("everywhere").addEventListener("click", leave("/me/sessions"));
  const provider = at("provider");
  if (provider && next()) provider.href += "?next=" + encodeURIComponent(next());

  (async () => {
    const why = { provider: "统一身份认证没有通过，请重试或联系管理员。", rights: "统一身份认证通过了，但您在本系统还没有权限，请联系管理员。" }[query.get("refused")];
    if (why) say(why);
    if (invitation) { show("first"); at("new").focus(); return; }
    try {
      if ((await renewed()) && (await inside())) return;
    } catch {
      say("连不上系统，请检查网络后再试。");
    }
    show("log-in");
    at("name").focus();
  })();
})();
