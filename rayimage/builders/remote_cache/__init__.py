"""The registry as the cache: known layers, file lists and inventories, and the artifact that keeps them."""

from rayimage.builders.remote_cache.cache import CACHE_TAG, RemoteCache
from rayimage.builders.remote_cache.marks import KnownLayer, marked
from rayimage.builders.remote_cache.records import BaseDocuments, PushedLayer, Record
from rayimage.builders.remote_cache.sources import CacheStore, current_checked_name
from rayimage.builders.remote_cache.update import News, update_cache

__all__ = [
    "CACHE_TAG",
    "BaseDocuments",
    "CacheStore",
    "KnownLayer",
    "News",
    "PushedLayer",
    "Record",
    "RemoteCache",
    "current_checked_name",
    "marked",
    "update_cache",
]
