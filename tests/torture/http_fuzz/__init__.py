"""Part http: all paths of the REST server, with bodies, headers and bytes of all kinds.

paths       all paths of the application, with their dialects
bodies      valid bodies of a dialect, by its schema
codings     Content-Encoding: valid, damaged, bombs
request     one HTTP request, and how it is framed
protocol    bytes that are wrong or unusual HTTP
case        an input, as it is sent and kept in files
responses   reads responses strictly
oracle      judges the outcomes
part        the part
"""
