"""Stores on FTP servers, in clear or with TLS.

Here: `FtpStore` (store.py) and its parts: one connection (client.py), TLS (tls.py), what a login needs (login.py),
several connections (pool.py), bytes in and out (transfers.py), folders (listing.py), an object's way from a temporary
to its name (naming.py), and what replies mean (replies.py). Not here: addresses (../address.py), trying again
(../retrying.py).

FTP promises little, so little is believed:
- an upload counts after the server has confirmed it and the size it reports is the right one;
- a download ends where the size says, and not where the connection does;
- a listing counts after the server has confirmed it, and with TLS only if it was closed properly; lines for people
  (LIST) are never parsed;
- a refusal (550) means absent, forbidden or anything else: what is called absent was looked for first.

There is no durable sync in FTP: a server that loses power may lose what it has confirmed.
"""
