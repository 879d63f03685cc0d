"""Arguments that several commands take, each described once."""

from typing import Annotated

from tyro.conf import Positional, arg

from ..settings import Device

ModelPlace = Positional[Annotated[str, arg(metavar="MODEL", help="A run's folder or a model's.")]]
DataPlace = Positional[Annotated[str, arg(metavar="DATA", help="A folder, file or .zip, a sample's name or hf:NAME.")]]
InputPlaces = Positional[
    Annotated[
        tuple[str, ...],
        arg(metavar="INPUT [INPUT ...]", help="Files or folders such as the model's own data, or a sample's name."),
    ]
]
Computing = Annotated[Device, arg(help="Where to compute; 'auto' takes a GPU if there is one.")]
