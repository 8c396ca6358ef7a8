// Real archives: tar-stream for the members, node's zlib for the compression.
import { createReadStream, createWriteStream } from 'node:fs';
import { PassThrough, Readable, Transform, type TransformCallback } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { constants, createGunzip, createGzip, createZstdCompress, createZstdDecompress } from 'node:zlib';
import * as tar from 'tar-stream';
import { ArchiveDamaged, damagedLines, type Compression, type Member, type Written } from './disk.ts';

class NoSpace extends Error {}

class Limit extends Transform {
  written = 0;
  readonly #limitBytes: number;

  constructor(limitBytes: number) {
    super();
    this.#limitBytes = limitBytes;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.written += chunk.length;
    if (this.written > this.#limitBytes) done(new NoSpace());
    else done(null, chunk);
  }
}

/** Writes one archive; on a full device the beginning stays on disk. */
export async function writeTarFile(
  path: string,
  members: readonly Member[],
  compression: Compression,
  limitBytes: number,
): Promise<Written> {
  const pack = tar.pack();
  const compressors = {
    none: () => new PassThrough(),
    gzip: () => createGzip(),
    zstd: () => createZstdCompress({ params: { [constants.ZSTD_c_checksumFlag]: 1 } }),
  } satisfies Record<Compression, () => Transform>;
  const limit = new Limit(limitBytes);
  const writing = pipeline(Readable.from(pack), compressors[compression](), limit, createWriteStream(path));
  const packing = packAll(pack, members);
  try {
    await writing;
  } catch (error) {
    pack.destroy();
    if (error instanceof NoSpace) return { is: 'no-space' };
    throw error;
  }
  await packing;
  return { is: 'written', sizeBytes: limit.written };
}

async function packAll(pack: tar.Pack, members: readonly Member[]): Promise<void> {
  for (const member of members) {
    if (pack.destroyed) return;
    await new Promise<void>((resolve) => {
      const { name, type, uid, gid, linkname } = member;
      // The file type bit is cut off on the way out; it keeps tar-stream from taking mode 0 for "no mode given".
      const mode = member.mode | 0o100000;
      const header = { name, type, mode, uid, gid, mtime: new Date(member.mtime * 1000) };
      const done = () => resolve();
      if (type === 'file') pack.entry({ ...header, size: member.content.length }, Buffer.from(member.content), done);
      else pack.entry(linkname === undefined ? header : { ...header, linkname }, done);
    });
  }
  pack.finalize();
}

/** The members of a real archive in order; throws `ArchiveDamaged` where zstd, gzip or tar give up. */
export async function* readTarFile(path: string, compression: Compression): AsyncIterable<Member> {
  const decompressors = {
    none: () => new PassThrough(),
    gzip: () => createGunzip(),
    zstd: () => createZstdDecompress(),
  } satisfies Record<Compression, () => Transform>;
  const stream = decompressors[compression]();
  const extract = tar.extract();
  // The error reaches the reader through `extract`; the promise only needs an owner.
  const feeding = pipeline(createReadStream(path), stream, async (source: AsyncIterable<Buffer>) => {
    for await (const chunk of source) {
      if (extract.destroyed) return;
      if (!extract.write(chunk)) await drained(extract);
    }
    extract.end(undefined);
  }).catch((error: unknown) => extract.destroy(error instanceof Error ? error : new Error(String(error))));
  let seen = 0;
  try {
    for await (const entry of extract) {
      seen += 1;
      const chunks: Uint8Array[] = [];
      for await (const chunk of entry) chunks.push(chunk as Uint8Array);
      const { name, mode, uid, gid, mtime, linkname } = entry.header;
      const type = entry.header.type;
      if (type !== 'file' && type !== 'directory' && type !== 'symlink') continue;
      const base = { name, type, mode, uid, gid, mtime: Math.floor(mtime.getTime() / 1000) };
      const content = new Uint8Array(Buffer.concat(chunks));
      yield type === 'symlink' ? { ...base, content, linkname } : { ...base, content };
    }
  } catch {
    throw new ArchiveDamaged(damagedLines(compression));
  } finally {
    extract.destroy();
    stream.destroy();
    await feeding;
  }
  if (seen === 0) throw new ArchiveDamaged(['tar: This does not look like a tar archive']);
}

/** Also when the reader has had enough and destroyed it: nothing would drain it then. */
function drained(extract: tar.Extract): Promise<void> {
  return new Promise((resolve) => {
    extract.once('drain', () => resolve());
    extract.once('close', () => resolve());
  });
}
