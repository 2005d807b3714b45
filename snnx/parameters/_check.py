"""In between: what is left of checks that annotations now say."""

from snnx.parameters._parameter import Parameter, ParameterIn


def check_number(where: str, name: str, parameter: Parameter) -> None:
    ParameterIn().read(where, name, parameter)


def check_positive(where: str, name: str, parameter: Parameter) -> None:
    ParameterIn(0.0, above=True).read(where, name, parameter)


def check_not_negative(where: str, name: str, parameter: Parameter) -> None:
    ParameterIn(0.0).read(where, name, parameter)
