// @google-cloud/storage: file.save() in its three ways, streams, ranges, copies, moves, metadata, listings and deletes.
const assert = require("assert");
const crypto = require("crypto");
const { Storage } = require("@google-cloud/storage");

async function main(url, name) {
  const storage = new Storage({ apiEndpoint: url, projectId: "test" });
  const bucket = storage.bucket(name);
  const large = crypto.randomBytes(20_000_000);
  await bucket.file("default.bin").save(large);
  await bucket.file("simple.bin").save(large, { resumable: false });
  await bucket.file("chunked.bin").save(large, { chunkSize: 4 * 2 ** 20 });
  for (const file of ["default.bin", "simple.bin", "chunked.bin"]) {
    const [content] = await bucket.file(file).download();
    assert(content.equals(large), file);
  }
  const [part] = await bucket.file("default.bin").download({ start: 10, end: 19 });
  assert(part.equals(large.subarray(10, 20)));
  await bucket.file("small.txt").save("small", { metadata: { contentType: "text/x", metadata: { key: "value" } } });
  await bucket.file("small.txt").copy(bucket.file("copy.txt"));
  await bucket.file("copy.txt").move("moved.txt");
  const [metadata] = await bucket.file("moved.txt").getMetadata();
  assert.equal(metadata.metadata.key, "value");
  await bucket.file("moved.txt").setMetadata({ cacheControl: "no-store" });
  await bucket.combine(["small.txt", "moved.txt"], "combined.txt");
  assert.equal((await bucket.file("combined.txt").download())[0].toString(), "smallsmall");
  const [files] = await bucket.getFiles({ matchGlob: "**/*.txt" });
  assert.deepEqual(files.map((file) => file.name), ["combined.txt", "moved.txt", "small.txt"]);
  await assert.rejects(bucket.file("none").download(), { code: 404 });
  const absent = { preconditionOpts: { ifGenerationMatch: 0 } };
  await assert.rejects(bucket.file("small.txt").save("x", absent), (error) => [error.code, error.status].includes(412));
  await bucket.deleteFiles();
  assert.equal((await bucket.getFiles())[0].length, 0);
}

main(process.argv[2], process.argv[3]).catch((error) => {
  console.error(error);
  process.exit(1);
});
