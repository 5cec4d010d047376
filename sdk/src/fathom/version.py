"""The version, in one place that can be read without importing anything."""

VERSION = "0.1.0"
