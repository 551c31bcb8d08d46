"""The content of messages as arrays, columns, tables and rows. Imported when it is asked for.

Of a message these modules know only the memory (`memory`), and of its schema only the plan that is
compiled from it (`schema`). From the top:

- `reading`, `writing`: the methods of messages and builders;
- `views` (arrays), `values` (columns as readers see them), `table` with `layout` (Arrow),
  `rows`, `edit`: out of a message;
- `fill`, which decides between `flat` (with `numbers`, `text`, `unions`) and `nested`; `given`:
  columns into a message;
- `lists`: the list that is written; `fields`: one field of all structs in a list;
- `locate`: where a path leads; `spans`: where structs and lists lie;
- `room`: the memory of a message that pycapnp builds, too.
"""
