"""Part files: damaged input files and models, read by the commands as users run them.

scenarios   commands, each with a folder of valid files
tables      rows and Parquet tables of any types
damage      changes of a file: of its values, or of its bytes
process     a process that runs one command after the other
part        the part: damages a file, runs the command, judges how it ends
"""
