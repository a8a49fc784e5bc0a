"""Outlook's own formats, made into MIME: winmail.dat (tnef) and .msg files (msg).

Both hold properties of MAPI, which `mapi` turns into a message; `compound` is the container of .msg
files, `rtf` the form in which bodies often come.
"""
