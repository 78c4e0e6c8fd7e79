"""Object storage: S3 and what speaks its language, Google Cloud Storage, Azure Blob Storage.

Here: `ObjectStorageStore` (store.py), what its address means (place.py), where keys, region and endpoint are found
(settings.py), the clients of obstore (clients.py), and how their failures are told (failures.py). Not here: trying
again, which is a wrapper's work.

Rules: one object is one PUT. Nothing is loaded before an address of object storage is opened. No text of obstore goes
into a message: it may hold addresses with signatures in them, and what the server said of the keys.
"""
