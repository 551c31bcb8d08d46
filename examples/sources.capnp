@0xe6a1c5d9b3f70284;
# The files of a Python library as a table: one struct for each file.

struct Sources {
  directory @0 :Text;
  files @1 :List(File);
}

struct File {
  path @0 :Text;
  package @1 :Text;
  kind @2 :Kind;
  size @3 :UInt32;       # bytes
  modified @4 :Int64;    # seconds since 1970
  executable @5 :Bool;
  tokens :group {
    names @6 :UInt32;
    operators @7 :UInt32;
    strings @8 :UInt32;
    numbers @9 :UInt32;
    comments @10 :UInt32;
  }

  enum Kind {
    module @0;
    package @1;
    script @2;
  }
}
