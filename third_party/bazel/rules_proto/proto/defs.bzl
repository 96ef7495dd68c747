"""Hands on Bazel's native protocol buffer rules, which its own tools load from here."""

proto_lang_toolchain = native.proto_lang_toolchain
proto_library = native.proto_library
