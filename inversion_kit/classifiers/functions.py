"""A function as a module: the networks that it calls are found, and are at rest while it is asked.

They are found by reading the function (what it closes over, is bound to, or names), and by watching
which of them run when it is called for the first time.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import sys
import threading
import types
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

from inversion_kit.classifiers.modules import AsItIs, make_ordinary, one_kind, to_eval

_MOST, _LONGEST = 10_000, 1_000
"""So many things are looked at, and so many of one list."""
_LIBRARIES = {
    *sys.stdlib_module_names,
    *("torch", "torchvision", "timm", "transformers", "diffusers", "numpy", "scipy", "PIL"),
}
"""Code of these holds none of the user's networks."""
_LOCK = threading.RLock()
"""The modes of a function's networks are changed while it is asked: by one thread at a time."""


class Function(AsItIs):
    """A callable as a module, with the weights of the networks that it calls.

    While it is asked these are in eval mode and ask for no gradient; afterwards they are as they
    came. They are in ``networks``, once it was asked those that ran.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function
        networks, self._compiled = modules_in(function)
        self.networks = nn.ModuleList(networks)
        self._asked = False
        make_ordinary(self.networks)

    def input_like(self) -> Tensor | None:
        """Device and kind of its networks' weights, where they agree."""
        return one_kind(self.networks)

    def forward(self, images: Tensor) -> Any:
        """What the function gives."""
        return self.ask(images)

    def ask(self, given: Any) -> Any:
        """What the function gives, its networks at rest."""
        if self._asked and not len(self.networks):
            return self.function(given)
        with _LOCK, at_rest(self.networks):
            if self._asked or self._compiled:  # hooks would compile it once more
                return self.function(given)
            with _watched() as ran:
                out = self.function(given)
            self._settle(ran)
            return out

    def _settle(self, ran: Sequence[nn.Module]) -> None:
        """Keep the networks that ran: a function may name others that it does not call."""
        owner = getattr(self.function, "__self__", None)
        kept = [*([owner] if isinstance(owner, nn.Module) else []), *ran]
        if ran:
            self.networks = nn.ModuleList(outermost(m for m in kept if _has_state(m)))
            make_ordinary(self.networks)
        self._asked = True


class OtherWeights(AsItIs):
    """A function with other weights in its networks while it is asked; they are not changed.

    Its parameters start as copies of theirs.
    """

    def __init__(self, function: Function) -> None:
        super().__init__()
        self._of = (function,)  # in a tuple: its weights are no parameters here
        named = dict(function.named_parameters())
        self._names = list(named)
        copies = [nn.Parameter(p.detach().clone(), False) for p in named.values()]
        self.weights = nn.ParameterList(copies)

    def input_like(self) -> Tensor | None:
        """As the function's."""
        return self._of[0].input_like()

    def forward(self, images: Tensor) -> Any:
        """What the function gives with these weights."""
        weights = dict(zip(self._names, self.weights, strict=True))
        with _LOCK:
            return torch.func.functional_call(self._of[0], weights, (images,))


@contextlib.contextmanager
def at_rest(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Modules in eval mode and without gradients of their weights; afterwards as they came."""
    modules = list(modules)
    parts = [part for module in modules for part in module.modules() if hasattr(part, "training")]
    modes = [(part, part.training) for part in parts]
    wanting = [p for module in modules for p in module.parameters() if _can_want(p)]
    try:
        for module in modules:
            to_eval(module)
        for parameter in wanting:
            parameter.requires_grad_(False)
        yield
    finally:
        for part, mode in modes:
            if part.training != mode:
                part.training = mode
        for parameter in wanting:
            parameter.requires_grad_(True)


@contextlib.contextmanager
def _watched() -> Iterator[list[nn.Module]]:
    """The outermost modules that this thread calls meanwhile, each at rest before it runs."""
    me, ran, known = threading.get_ident(), [], set[int]()
    with contextlib.ExitStack() as stack:

        def note(module: nn.Module, given: Any) -> None:
            if torch.compiler.is_compiling() or threading.get_ident() != me:
                return
            if id(module) not in known:
                known.update(id(part) for part in module.modules())
                ran.append(module)
                stack.enter_context(at_rest([module]))

        stack.callback(register_module_forward_pre_hook(note).remove)
        yield ran


def _can_want(parameter: Tensor) -> bool:
    """Whether a parameter asks for a gradient, and can be told to."""
    if nn.parameter.is_lazy(parameter) or parameter.is_inference():
        return False
    return parameter.requires_grad


def _has_state(module: nn.Module) -> bool:
    return next(itertools.chain(module.parameters(), module.buffers()), None) is not None


def outermost(modules: Iterable[nn.Module]) -> list[nn.Module]:
    """Modules, each once, without those that lie in another of them."""
    each = list({id(module): module for module in modules}.values())
    inner = {id(part) for module in each for part in module.modules() if part is not module}
    return [module for module in each if id(module) not in inner]


def modules_in(thing: Any) -> tuple[list[nn.Module], bool]:
    """The modules that a callable holds, closes over or names; whether ``torch.compile`` made it.

    Examples
    --------
    >>> network = nn.Linear(2, 2)
    >>> modules_in(lambda x: network(x))[0] == [network]
    True
    """
    queue, seen = deque([thing]), {id(thing)}
    networks: list[nn.Module] = []
    compiled = False
    while queue and len(seen) < _MOST:
        one = queue.popleft()
        if isinstance(one, nn.Module):
            networks.append(one)
            compiled |= any(_is_compiled(part) for part in one.modules())
            continue
        compiled |= isinstance(one, types.FunctionType) and _is_compiled(one)
        for part in _inside(one):
            if id(part) not in seen:
                seen.add(id(part))
                queue.append(part)
    return outermost(networks), compiled


def _is_compiled(one: Any) -> bool:
    held = vars(one)
    if "_torchdynamo_orig_callable" in held or "_orig_mod" in held.get("_modules", {}):
        return True
    return held.get("_compiled_call_impl") is not None


def _inside(thing: Any) -> Iterator[Any]:
    """What a thing holds, one step down."""
    if isinstance(thing, (str, bytes, int, float, Tensor, types.ModuleType, type(None))):
        return
    if isinstance(thing, Mapping):
        yield from itertools.islice(thing.values(), _LONGEST)
    elif isinstance(thing, (list, tuple, set, frozenset, deque)):
        yield from itertools.islice(thing, _LONGEST)
    elif isinstance(thing, functools.partial):
        yield from (thing.func, thing.args, thing.keywords)
    elif isinstance(thing, types.MethodType):
        yield from (thing.__self__, thing.__func__)
    elif isinstance(thing, weakref.ref):
        yield thing()
    elif isinstance(thing, types.FunctionType):
        yield from _inside_function(thing)
    elif isinstance(thing, type):
        if not _of_library(thing.__module__):
            yield from vars(thing).values()
    else:
        with contextlib.suppress(TypeError):  # it has none
            yield from list(vars(thing).values())
        for kind in type(thing).__mro__:
            for slot in getattr(kind, "__slots__", ()):
                yield getattr(thing, slot, None)
        yield type(thing)


def _inside_function(function: types.FunctionType) -> Iterator[Any]:
    """What a function closes over, and what of its module it names."""
    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):  # it is empty
            yield cell.cell_contents
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()
    yield from vars(function).values()
    if _of_library(str(function.__globals__.get("__name__"))):
        return
    names = _names_in(function.__code__)
    places, known = [function.__globals__], set[int]()
    while places:
        place = places.pop()
        for value in [place[name] for name in names if name in place]:
            if not isinstance(value, types.ModuleType):
                yield value
            elif id(value) not in known and not _of_library(value.__name__):
                known.add(id(value))
                places.append(vars(value))


def _names_in(code: types.CodeType) -> set[str]:
    """The names that code and the code within it use."""
    inner = [one for one in code.co_consts if isinstance(one, types.CodeType)]
    return {*code.co_names}.union(*map(_names_in, inner))


def _of_library(module: str) -> bool:
    return module.split(".")[0] in _LIBRARIES
