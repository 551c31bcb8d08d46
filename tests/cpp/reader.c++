// Prints a message, or parts of it, as JSON: a reader that knows nothing of us.
//
//     reader flat|stream|all FILE SCHEMA STRUCT IMPORTS [PATH...]
//
// flat maps the file and reads in place (FlatArrayMessageReader); stream reads the
// file into memory (StreamFdMessageReader); all reads one message after the other, to
// the end of the file. IMPORTS is where absolute imports of the
// schema are looked for. A PATH such as blocks.3.values.17 names a part; without
// one, the whole root is printed. Each part is a line.

#include <capnp/compat/json.h>
#include <capnp/dynamic.h>
#include <capnp/schema-parser.h>
#include <capnp/serialize.h>
#include <kj/filesystem.h>
#include <kj/io.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <sstream>
#include <string>

namespace {

capnp::ReaderOptions unlimited() {
    capnp::ReaderOptions options;
    options.traversalLimitInWords = kj::maxValue;
    return options;
}

void print(capnp::DynamicStruct::Reader root, const char *path) {
    capnp::DynamicValue::Reader value = root;
    capnp::Type type = root.getSchema();
    std::istringstream parts{path};
    for (std::string part; std::getline(parts, part, '.');) {
        if (type.isList()) {
            value = value.as<capnp::DynamicList>()[std::stoul(part)];
            type = type.asList().getElementType();
        } else {
            auto field = type.asStruct().getFieldByName(part.c_str());
            value = value.as<capnp::DynamicStruct>().get(field);
            type = field.getType();
        }
    }
    capnp::JsonCodec json;
    std::cout << json.encode(value, type).cStr() << '\n';
}

void print_all(capnp::MessageReader &message, capnp::StructSchema schema, int count,
               char **paths) {
    auto root = message.getRoot<capnp::DynamicStruct>(schema);
    if (count == 0) print(root, "");
    for (int i = 0; i < count; i++)
        print(root, paths[i]);
}

}  // namespace

int main(int argc, char **argv) {
    if (argc < 6) {
        std::cerr << "usage: reader flat|stream|all FILE SCHEMA STRUCT IMPORTS [PATH...]\n";
        return 2;
    }
    int fd = open(argv[2], O_RDONLY);
    if (fd < 0) {
        perror(argv[2]);
        return 2;
    }
    try {
        auto disk = kj::newDiskFilesystem();
        auto imports = disk->getRoot().openSubdir(disk->getCurrentPath().evalNative(argv[5]));
        const kj::ReadableDirectory *search[] = {imports.get()};
        capnp::SchemaParser parser;
        auto file = parser.parseFromDirectory(
            disk->getRoot(), disk->getCurrentPath().evalNative(argv[3]), search);
        auto schema = file.getNested(argv[4]).asStruct();
        if (argv[1] == std::string("stream")) {
            capnp::StreamFdMessageReader message(fd, unlimited());
            print_all(message, schema, argc - 6, argv + 6);
        } else if (argv[1] == std::string("all")) {
            kj::FdInputStream file(fd);
            kj::BufferedInputStreamWrapper stream(file);
            while (stream.tryGetReadBuffer().size() > 0) {
                capnp::InputStreamMessageReader message(stream, unlimited());
                print_all(message, schema, argc - 6, argv + 6);
            }
        } else {
            struct stat status;
            KJ_SYSCALL(fstat(fd, &status));
            size_t size = static_cast<size_t>(status.st_size);
            void *start = mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
            KJ_REQUIRE(start != MAP_FAILED, "the file cannot be mapped");
            auto words = kj::arrayPtr(static_cast<const capnp::word *>(start),
                                      size / sizeof(capnp::word));
            capnp::FlatArrayMessageReader message(words, unlimited());
            print_all(message, schema, argc - 6, argv + 6);
        }
    } catch (const kj::Exception &exception) {
        std::cerr << kj::str(exception).cStr() << '\n';
        return 3;
    }
    return 0;
}
