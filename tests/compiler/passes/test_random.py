"""Programs made at random, of the calls that passes look for: no pass may change what they compute."""

import contextlib

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compiler.building import Building, arguments_for, assert_close, run
from ttscribe.compiler.memory import memory_owners
from ttscribe.compiler.operations import SpecError
from ttscribe.compiler.passes import stages
from ttscribe.compiler.program import DType, Layout, Op
from ttscribe.compiler.settings import CompileSettings, policy
from ttscribe.compiler.verify import verify

# As wide as a row must be to be spread over cores.
WIDTH, HEADS = 256, 8


class Random:
    """A program being made: ``values`` are those that a next call may read."""

    def __init__(self, data):
        self.data, self.b = data, Building()
        batch, rows = self.of((1, 5), (1, 32), (2, 5), (1, 1))
        self.values = [self.b.given("x", batch, rows, WIDTH), self.b.given("y", batch, HEADS, rows, 32)]
        self.shared = [self.b.weight(name, WIDTH, WIDTH) for name in ("w", "v")]
        self.row = self.b.weight("row", 1, WIDTH)

    def of(self, *options):
        return self.data.draw(st.sampled_from(options))

    def shape(self, x):
        return self.b.spec(x).shape

    def op(self, target, *operands, **attributes):
        self.values.append(self.b.op(f"ttnn.{target}", *operands, **attributes))
        return self.values[-1]

    def grow(self, number):
        self.b._source = f"n{number}"
        step = self.of(*STEPS)
        with contextlib.suppress(SpecError):
            step(self, self.of(*self.values[-5:]))

    def write_back(self):
        """Copy some values into inputs of their shape."""
        for value in self.b.inputs:
            forms = {name: (self.b.spec(name).shape, self.b.spec(name).layout) for name in self.values}
            fits = [name for name, form in forms.items() if form == (value.spec.shape, Layout.TILE)]
            if fits and self.of(True, False, False):
                self.b.body.append(Op("ttnn.copy", (self.of(*fits), value.name), ()))

    def program(self):
        outputs = [self.values[-1], *(name for name in self.values if self.of(False, False, True))]
        before = self.b.program(*outputs)
        owners = memory_owners(before.body, self.b.specs)
        # As lowering does, inputs are written last, and what shares their memory is neither written nor an output.
        own = [name for name in self.values if owners.get(name, name) not in ("x", "y")]
        self.values = own or [self.op("gelu", "x")]
        outputs = [name for name in outputs if name in self.values]
        self.write_back()
        return self.b.program(*outputs)


def project(r, x):
    keywords = {"bias": r.of(None, r.row)}
    r.op("linear", x, r.of(*r.shared, r.b.weight(r.b._source, WIDTH, WIDTH)), keywords=keywords)


def add_row(r, x):
    r.op("add", x, r.b.weight(f"{r.b._source}_row", *r.of((WIDTH,), (1, WIDTH), (1, 1, WIDTH), (1,), r.shape(x))))


def add(r, x):
    r.op("add", x, r.of(*r.values))


def unary(r, x):
    r.op(r.of("gelu", "relu", "tanh"), x)


def norm(r, x):
    r.op("layer_norm", x, epsilon=1e-5)


def cut(r, x):
    batch, rows, width = r.shape(x) if len(r.shape(x)) == 3 else (1, 1, 1)
    if width == WIDTH:
        r.op("permute", r.op("reshape", x, shape=(batch, rows, HEADS, 32)), dims=(0, 2, 1, 3))


def join(r, x):
    if len(r.shape(x)) == 4:
        batch, heads, rows, width = r.shape(x)
        r.op("reshape", r.op("permute", x, dims=(0, 2, 1, 3)), shape=(batch, rows, heads * width))


def attend(r, x):
    same = [name for name in r.values if r.shape(name) == r.shape(x)]
    if len(r.shape(x)) == 4:
        r.op("transformer.scaled_dot_product_attention", x, r.of(*same), r.of(*same), is_causal=False, scale=0.25)


def permute(r, x):
    r.op("permute", x, dims=tuple(r.data.draw(st.permutations(range(len(r.shape(x)))))))


def widen(r, x):
    shape = list(r.shape(x))
    shape.insert(r.of(*range(len(shape))), 1)
    r.op("reshape", x, shape=tuple(shape))


def flatten(r, x):
    first, second, *rest = r.shape(x) if len(r.shape(x)) > 2 else (1, *r.shape(x))
    r.op("reshape", x, shape=(first * second, *rest))


def convert(r, x):
    r.op("to_layout", x, layout=r.of(*Layout))


def cast(r, x):
    r.op("typecast", x, dtype=r.of(DType.BFLOAT16, DType.FLOAT32))


STEPS = (project, project, add_row, add, unary, norm, cut, cut, join, attend, permute, widen, flatten, convert, cast)


@settings(max_examples=100, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_pass_changes_what_a_program_computes(data):
    random = Random(data)
    for number in range(random.data.draw(st.integers(2, 12))):
        random.grow(number)
    lowered = random.program()
    arguments = arguments_for(lowered)
    wanted, last = run(lowered, random.b.params, arguments), lowered
    for _, program in stages(lowered, CompileSettings(policy("exact"))):
        verify(program)
        if program != last:
            assert_close(run(program, random.b.params, arguments), wanted)
        last = program
