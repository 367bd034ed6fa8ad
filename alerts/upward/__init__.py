"""Upward: the link to the province's and the nation's platform (省、国家平台互联互通). docs/upward.md."""
