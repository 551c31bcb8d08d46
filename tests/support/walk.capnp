@0x9511564a8c414a27;
# The message of the docstrings' examples of arrays.

struct Walk {
  steps @0 :List(Step);

  struct Step {
    x @0 :Float64;
    label @1 :Text;
  }
}
