"""Image layers, byte for byte the same on every machine; README.md beside this file describes their format."""

from rayimage.layers.budget import pack
from rayimage.layers.cache import LayerCache
from rayimage.layers.clashes import find_clashes
from rayimage.layers.code import code_layer_key, write_code_layer
from rayimage.layers.code_tree import CodeTree, collect_code
from rayimage.layers.directories import directories_layer_key, write_directories_layer
from rayimage.layers.layer import LAYER_FORMAT, FileInLayer, Layer, WheelMetadata, WheelOnDisk
from rayimage.layers.removal import removal_layer_key, write_removal_layer
from rayimage.layers.wheels import wheel_layer_key, write_wheel_layer

__all__ = [
    "LAYER_FORMAT",
    "CodeTree",
    "FileInLayer",
    "Layer",
    "LayerCache",
    "WheelMetadata",
    "WheelOnDisk",
    "code_layer_key",
    "collect_code",
    "directories_layer_key",
    "find_clashes",
    "pack",
    "removal_layer_key",
    "wheel_layer_key",
    "write_code_layer",
    "write_directories_layer",
    "write_removal_layer",
    "write_wheel_layer",
]
