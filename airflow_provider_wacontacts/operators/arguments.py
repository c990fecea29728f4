"""
Validation of the arguments of operators and sensors, and how their errors fail a task.

A wrong constant fails when the DAG is parsed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeAlias

from airflow.providers.common.compat.sdk import AirflowFailException, BaseOperator

from airflow_provider_wacontacts.exceptions import NON_RETRYABLE, ConfigError, WaContactsError, add_help
from airflow_provider_wacontacts.records.arguments import validate_bool, validate_int, validate_ratio

if TYPE_CHECKING:
    from airflow_provider_wacontacts.records.fields import FieldSelection

__all__ = [
    "DRIFT_VALIDATORS",
    "SHRINK_VALIDATORS",
    "DryRun",
    "ValidatedArguments",
    "Validator",
    "fail_without_retry",
    "optional",
    "select_fields",
    "validate_check_id",
    "validate_choice",
    "validate_file_format",
    "validate_pseudonymize",
    "validate_query",
    "validate_words",
]

#: Called with an argument's name and value; raises :class:`.ConfigError` for a wrong value.
Validator: TypeAlias = Callable[[str, Any], None]


#: Template fields that need not be strings.
NOT_TEXT = {"start", "end", "deadline", "identity_ids", "paths", "iceberg_tables"}


class ValidatedArguments:
    """
    Validates an operator's arguments in ``__init__`` and, before any task exists, in ``.partial()``.

    List it before ``BaseOperator``, and end ``__init__`` with ``self.validate_arguments(vars(self))``.

    :cvar validators: validators by the argument's name.
    """

    validators: ClassVar[Mapping[str, Validator]] = {}

    @classmethod
    def partial(cls, **arguments: Any) -> Any:
        """
        Set the constants of a mapped task, as ``BaseOperator.partial`` does.

        :raises ConfigError: a constant is wrong.
        """
        cls.validate_arguments(arguments)
        return super().partial(**arguments)  # type: ignore[misc]

    @classmethod
    def validate_arguments(cls, arguments: Mapping[str, Any]) -> None:
        """
        Validate the given arguments.

        :raises ConfigError: an argument is wrong.
        """
        try:
            for name, validate in cls.validators.items():
                if name in arguments:
                    validate(name, arguments[name])
        except ConfigError as error:
            add_help(error)
            raise

    def _do_render_template_fields(
        self, parent: Any, template_fields: Iterable[str], context: Any, *args: Any, **kwargs: Any
    ) -> None:
        """
        Render the template fields, and let Airflow show the values that omitted arguments resolve to.

        For a mapped task, Airflow calls this and not ``render_template_fields``.
        """
        super()._do_render_template_fields(parent, template_fields, context, *args, **kwargs)  # type: ignore[misc]
        if parent is self:
            with suppress(WaContactsError):  # the task fails with it when it runs
                self.show_resolved(context)

    def show_resolved(self, context: Mapping[str, Any]) -> None:
        """
        Set template fields that were left out to what this run uses.

        :raises WaContactsError: an argument or a connection is wrong.
        """

    def validate_rendered(self) -> None:
        """
        Make sure that template fields are still strings: with ``render_template_as_native_obj``, ``"7"`` is a number.

        :raises ConfigError: a template field has another type.
        """
        for name in type(self).template_fields:  # type: ignore[attr-defined]
            value = getattr(self, name)
            if name not in NOT_TEXT and not isinstance(value, str | None):
                raise ConfigError(
                    f"{name} is of type {type(value).__name__} after rendering. It must be a string. If the DAG sets"
                    " render_template_as_native_obj, add the filter `| string` to the template."
                )


class DryRun:
    """
    The argument ``dry_run`` of an operator, which has Airflow's method of the same name, too.

    The attribute is true or false, and calling it does what ``BaseOperator.dry_run`` does. List it in the class as
    ``dry_run = DryRun()``.
    """

    def __get__(self, operator: BaseOperator | None, owner: type | None = None) -> Any:
        """Return the argument, which can be called; on the class, Airflow's method."""
        if operator is None:
            return BaseOperator.dry_run
        return _CallableFlag(vars(operator)["dry_run"], partial(BaseOperator.dry_run, operator))

    def __set__(self, operator: BaseOperator, value: object) -> None:
        """Store the argument where ``vars`` finds it."""
        vars(operator)["dry_run"] = value


class _CallableFlag(int):
    """``True`` or ``False``, and a method: ``bool`` has no subclasses."""

    _call: Callable[[], None]

    def __new__(cls, value: object, call: Callable[[], None]) -> Self:
        flag = super().__new__(cls, bool(value))
        flag._call = call
        return flag

    def __call__(self) -> None:
        self._call()

    def __repr__(self) -> str:
        return repr(bool(self))


def optional(validate: Validator) -> Validator:
    """Return a validator that also accepts ``None``."""

    def validate_unless_none(name: str, value: object) -> None:
        if value is not None:
            validate(name, value)

    return validate_unless_none


def validate_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """
    Make sure that an argument is one of the allowed words.

    :raises ConfigError: it is another value.
    """
    if value not in choices:
        given = repr(value) if isinstance(value, str) else f"of type {type(value).__name__}"
        raise ConfigError(f"{name} is {given}. It must be one of {', '.join(choices)}.")


def validate_words(name: str, value: object, words: tuple[str, ...], minimum: int = 1) -> None:
    """
    Make sure that an argument is a list of allowed words.

    :param minimum: length of the list, 0 and up.
    :raises ConfigError: it is something else.
    """
    is_list = isinstance(value, Collection) and not isinstance(value, (str, Mapping))
    given = list(value) if is_list else []  # type: ignore[call-overload]
    if not is_list or len(given) < minimum:
        raise ConfigError(f"{name} must be a list of one or more of {', '.join(words)}.")
    for word in given:
        validate_choice(name, word, words)


def validate_check_id(check_id: object) -> None:
    """
    Make sure that a check is given by its ID.

    :raises ConfigError: it is empty, or is the whole summary of a check.
    """
    if isinstance(check_id, Mapping):
        raise ConfigError("check_id is the whole summary of a check. Use check.output['check_id'].")
    if not check_id:
        raise ConfigError("check_id is empty. Set it to the check_id in WhatsAppCheckContactsOperator's output.")


def validate_query(operator: object, name: str) -> None:
    """
    Make sure that a query has a connection, for example ``contacts_sql`` has ``contacts_conn_id``.

    :param name: what the arguments' names start with, for example ``contacts``.
    :raises ConfigError: it has none.
    """
    if getattr(operator, f"{name}_sql") is not None and not getattr(operator, f"{name}_conn_id"):
        raise ConfigError(f"{name}_sql needs {name}_conn_id. Set it to the connection that runs the query.")


def validate_file_format(name: str, value: Any) -> None:  # noqa: ARG001 - a validator
    """
    Make sure that files of this format can be written.

    :raises ConfigError: the format is unknown, or its library is not installed.
    """
    from airflow_provider_wacontacts.files import validate_file_format

    validate_file_format(value)


def validate_pseudonymize(name: str, value: Any) -> None:
    """
    Make sure that these fields can be pseudonymized.

    :raises ConfigError: the value is not a list of fields, or a field is needed as it is.
    """
    from airflow_provider_wacontacts.records.pseudonyms import Pseudonymizer

    if not isinstance(value, Sequence):
        raise ConfigError(f"{name} is of type {type(value).__name__}. Set it to a list of fields.")
    Pseudonymizer(b"any secret of 16 bytes", value)


def select_fields(arguments: Mapping[str, Any], source: str) -> FieldSelection | None:
    """
    Return the fields to write; ``None`` for all.

    :param arguments: ``include_fields`` and ``exclude_fields`` of an operator, if they are given.
    :raises ConfigError: both are given, or a field cannot be left out.
    """
    include, exclude = arguments.get("include_fields"), arguments.get("exclude_fields")
    if include is None and exclude is None:
        return None

    from airflow_provider_wacontacts.records import green_api, turn
    from airflow_provider_wacontacts.records.fields import FieldSelection

    needed = {turn.SOURCE: turn.NEEDED_FIELDS, green_api.SOURCE: green_api.NEEDED_FIELDS}
    return FieldSelection(include, exclude, needed=needed[source])


@contextmanager
def fail_without_retry() -> Iterator[None]:
    """
    Raise ``AirflowFailException`` for errors that a retry cannot fix; Airflow retries the others.

    The messages of both end with a page of the documentation.
    """
    try:
        yield
    except NON_RETRYABLE as error:
        raise AirflowFailException(f"{type(error).__name__}: {add_help(error)}") from error
    except WaContactsError as error:
        add_help(error)
        raise


SHRINK_VALIDATORS: dict[str, Validator] = {
    "shrink_guard": validate_ratio,
    "shrink_confirmations": partial(validate_int, minimum=1),
    "accept_shrink": validate_bool,
    "min_overlap": validate_ratio,
}
DRIFT_VALIDATORS: dict[str, Validator] = {
    "on_drift": partial(validate_choice, choices=("evolve", "warn", "fail")),
}
