"""PURE  What filters are written in: conditions on records, as data.

catalogue    what may be asked of each table
language     groups of conditions, what is wrong with them, the days they mean
matches      asks one record, as a dictionary
words        the same for people
fetch        the same as FetchXML
"""
