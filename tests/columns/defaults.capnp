@0xb1c2d3e4f5061728;
# Pointers that have a default.

struct Point {
  x @0 :Float64;
  tags @1 :List(Text);
}

struct Root {
  point @0 :Point = (x = 1.5, tags = ["first", "second"]);
  plain @1 :Point;
  numbers @2 :List(Int32) = [1, 2];
  places @3 :List(Point) = [(x = 4), (x = 5, tags = ["there"])];
}
