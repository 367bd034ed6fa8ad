"""The drainage network: its graph, what water does in its pipes, and where one is blocked.

Beside the path: the ledger of pipes → graph → what committed readings say of it. Pure but for reading the database;
whoever judges (rules over several devices, storms, the API) calls it.
"""
