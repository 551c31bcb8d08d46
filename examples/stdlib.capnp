@0xfda1d257f2468cb7;
# What pack_stdlib.py writes: a directory tree, contents included, as one message.

struct Library {
  version @0 :Text;         # of the Python that it belongs to
  root @1 :Text;            # the directory that the paths below start from
  files @2 :List(File);

  struct File {
    path @0 :Text;          # relative to root, parts joined by slashes
    mode @1 :UInt32;        # permission bits and type, as stat(2) gives them
    size @2 :UInt64;        # bytes
    mtime @3 :Int64;        # nanoseconds since 1970
    content @4 :Data;
  }
}
