"""Which records take part: filters of users, and the templates they are made of (R6.9 to R6.13).

queries      conditions in SQL
finding      the records of a user that his filters match; what a change would bring and take
giving       templates: the product's own, copied to a user, applied to many
editing      what people do to filters
"""

from serversync.act.filters.finding import Filters, filters_of, matching, tables_with_filters
from serversync.act.filters.giving import copy_templates, look_again

__all__ = [
    "Filters",
    "copy_templates",
    "filters_of",
    "look_again",
    "matching",
    "tables_with_filters",
]
