"""For every rule, calls that it must lower."""

CASES = {}


def case(*targets):
    """Register the decorated function, which draws a call, for ATen overloads."""

    def register(function):
        for target in targets:
            assert target not in CASES, f"two cases for {target}"
            CASES[target] = function
        return function

    return register
