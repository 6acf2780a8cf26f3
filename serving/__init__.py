"""The prediction service. Import ``create_app``; the rest is its own business."""

from serving.app import create_app

__all__ = ["create_app"]
