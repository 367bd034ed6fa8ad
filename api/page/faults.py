"""Faults: what a person reads who gets no alarm's page. Chinese; each says what to do."""

from __future__ import annotations

from dataclasses import replace

from api.page.answers import Fault
from underfoot.links import Fault as LinkFault

_CALL = "急的话，请直接打值班室电话。"

_BY_LINK: dict[LinkFault, Fault] = {
    LinkFault.malformed: Fault(
        404,
        "链接不完整",
        "这个链接缺了一段，打不开。",
        ("回到消息里，直接点原来的链接，不要手工复制。", "还打不开，请让值班室重发。", _CALL),
    ),
    LinkFault.forged: Fault(
        404,
        "链接无效",
        "这个链接不是本系统发出的，或已作废。",
        ("在消息里找最新的一条，点它的链接。", "还打不开，请让值班室重发。", _CALL),
    ),
    LinkFault.expired: Fault(
        410,
        "链接已过期",
        "为安全起见，消息里的链接只在几天内有效。",
        ("在消息里找这处告警最新的一条，点它的链接。", "有账号的，请登录后查看。", _CALL),
        "/login",
        "登录",
    ),
}


def of_link(fault: LinkFault, episode_key: int | None) -> Fault:
    """`episode_key`: which alarm it was about, where that is known."""
    found = _BY_LINK[fault]
    if episode_key is None or not found.link:
        return found
    return replace(found, link=f"/login?next=/alarms/{episode_key}", link_said="登录后查看这处告警")


GONE = Fault(404, "没有这条告警", "没有这条告警，或您无权查看。", ("检查地址是否正确。", "有疑问请联系值班室。"))
NOT_ALLOWED = Fault(403, "不能这样操作", "您的账号没有这项权限。", ("请让值班操作员接单。", _CALL))
NOT_FROM_HERE = Fault(403, "不能这样操作", "接单要在告警页面上点按钮。", ("回到消息里，打开告警页面再点接单。",))
NOT_NOW = Fault(503, "暂时打不开", "系统暂时连不上数据库，告警和通知不受影响。", ("过一会儿再试。", _CALL))


def too_many(wait_s: int) -> Fault:
    return Fault(429, "打开得太快", f"请 {wait_s} 秒后再试。", ("页面会自己更新，不用反复刷新。",))


def broken(incident: str) -> Fault:
    return Fault(
        500,
        "出了点问题",
        "这个页面没有做出来，告警和通知不受影响。",
        ("过一会儿再试。", f"报修时请说编号 {incident}。", _CALL),
    )
