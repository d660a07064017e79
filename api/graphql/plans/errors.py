"""Why there is no plan, or why its run was given up: graphql-core then executes the query."""


class Unplannable(Exception):
    """This document is not for a plan."""


class Unplanned(Exception):
    """Something went otherwise than planned. graphql-core knows what then is answered."""
