"""Templates with tags (`{% if %}`, `{% for %}`, ...): python-liquid's work, with our filters, our text and its limits.

A template may be written by anyone who may write configuration, and read values that anyone may submit: so loops, output
and variables are bounded, ranges exist in `for` only, and no other template can be included.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar, TextIO

from liquid import Environment, Node, RenderContext, is_undefined
from liquid.builtin.expressions import FilteredExpression, KeywordArgument, Literal, LoopExpression
from liquid.builtin.expressions.primitive import RangeLiteral
from liquid.builtin.output import Output, OutputNode
from liquid.builtin.tags.echo_tag import EchoNode, EchoTag
from liquid.builtin.tags.for_tag import ForNode, ForTag
from liquid.exceptions import FilterArgumentError, LiquidError, LoopIterationLimitError
from liquid.expression import Expression

from app.config.suggestion import suggest
from app.errors import DataFault, InvalidTemplate
from app.templates.expression import ROOTS
from app.templates.filters import FILTERS, complain_of_arguments, complain_of_literals
from app.templates.text import to_text

MAX_ITERATIONS = 10_000
MAX_OUTPUT_BYTES = 1_000_000
MAX_VARIABLES_BYTES = 1_000_000

_TAGS = frozenset(
    [
        "assign",
        "break",
        "capture",
        "case",
        "comment",
        "continue",
        "cycle",
        "echo",
        "for",
        "if",
        "liquid",
        "raw",
        "unless",
    ]
)
_INNER_TAGS = frozenset({"content", "illegal", "output", "#"})  # python-liquid's own names of what is no tag


def compile_tagged(text: str) -> Callable[[Mapping[str, Any]], str]:
    """The template as a function of a context; raises `InvalidTemplate`, the function `DataFault`."""
    try:
        template = _ENVIRONMENT.from_string(text)
        roots = template.analyze().globals
        for expression in _expressions(template.nodes, RenderContext(template)):
            _check_ranges(expression)
            for part in _descend([expression]):
                _check_filters(part)
    except LiquidError as error:
        raise InvalidTemplate(_complaint(error)) from None
    except RecursionError:
        raise InvalidTemplate("nested too deeply") from None
    for root in roots:
        if root not in ROOTS:
            raise InvalidTemplate(f"unknown name '{root}': {suggest(root, ROOTS)}")

    def render(context: Mapping[str, Any]) -> str:
        try:
            return template.render(context)
        except LiquidError as error:
            raise DataFault(_place(error) + str(error.message)) from None

    return render


class _Filter:
    """One of our filters as python-liquid calls it: an undefined value is None."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._call = FILTERS[name]

    def __call__(self, value: object, *arguments: object) -> Any:
        return self._call(*[None if is_undefined(item) else item for item in (value, *arguments)])


class _OutputNode(OutputNode):
    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        value = self.expression.evaluate(context)
        return buffer.write("" if is_undefined(value) else to_text(value))


class _EchoNode(EchoNode):
    render_to_output = _OutputNode.render_to_output


class _ForNode(ForNode):
    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        # python-liquid counts iterations only after `reversed` has made a list and `offset` has skipped one by one.
        items = self.expression.iterable.evaluate(context)
        if isinstance(items, range) and items.stop - items.start > MAX_ITERATIONS:
            raise LoopIterationLimitError("loop iteration limit reached", token=self.token)
        return super().render_to_output(context, buffer)


class _Output(Output):
    node_class = _OutputNode


class _Echo(EchoTag):
    node_class = _EchoNode


class _For(ForTag):
    node_class = _ForNode


class _Environment(Environment):
    loop_iteration_limit: ClassVar[int | None] = MAX_ITERATIONS
    output_stream_limit: ClassVar[int | None] = MAX_OUTPUT_BYTES
    local_namespace_limit: ClassVar[int | None] = MAX_VARIABLES_BYTES

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        super().setup_tags_and_filters(extra=extra)
        self.tags = {name: tag for name, tag in self.tags.items() if name in _TAGS | _INNER_TAGS}
        for replacing in (_Output, _Echo, _For):
            self.add_tag(replacing)
        self.filters = {name: _Filter(name) for name in FILTERS}


_ENVIRONMENT = _Environment()


def _check_ranges(expression: Expression) -> None:
    inner = expression.children()
    if isinstance(expression, LoopExpression):
        inner = [child for child in inner if child is not expression.iterable]
    if any(isinstance(child, RangeLiteral) for child in _descend(inner)):
        raise InvalidTemplate("a range can only be looped over: {% for i in (1..3) %}")


def _check_filters(expression: Expression) -> None:
    for used in (isinstance(expression, FilteredExpression) and expression.filters) or []:
        if used.name not in FILTERS:
            raise FilterArgumentError(f"unknown filter '{used.name}': {suggest(used.name, FILTERS)}", token=used.token)
        wrong = complain_of_arguments(used.name, len(used.args))
        if any(isinstance(argument, KeywordArgument) for argument in used.args):
            wrong = f"filter '{used.name}' takes no named arguments"
        literals = [argument.value.value for argument in used.args if isinstance(argument.value, Literal)]
        if wrong is None and len(literals) == len(used.args):
            wrong = complain_of_literals(used.name, literals)
        if wrong:
            raise FilterArgumentError(wrong, token=used.token)


def _expressions(nodes: Iterable[Node], context: RenderContext) -> Iterator[Expression]:
    for node in nodes:
        yield from node.expressions()
        yield from _expressions(node.children(context), context)


def _descend(expressions: Iterable[Expression]) -> Iterator[Expression]:
    for expression in expressions:
        yield expression
        yield from _descend(expression.children())


def _complaint(error: LiquidError) -> str:
    message = str(error.message)
    tag = message.removeprefix("unexpected tag '").rstrip("'")
    if tag != message:
        message += f": {suggest(tag, _TAGS)}"
    return _place(error) + message


def _place(error: LiquidError) -> str:
    context = error.context()
    return f"line {context[0]}, column {context[1] + 1}: " if context else ""
