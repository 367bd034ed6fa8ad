"""An alarm's page: what its receiver reads on a phone, at night, in the rain. Server-rendered, in Chinese, no login.

`facts.py` reads from the database all that the page may say; `view.py` makes of it what the page says, with `why.py`,
`told.py`, `record.py`, `safety.py`, `case.py` and `members.py`; `drawings.py` decides what `curve.py` and `map.py`
draw. All of these but facts.py are pure. `answers.py` puts a view into its template and an envelope; `admission.py`
says who comes by a link; the routes are api/routers/page.py.
"""
