/**
 * A file system that stops answering, as a server or a disk does: FUSE, answered by this process for as long as it is
 * told to. Whoever asks meanwhile waits in the kernel, uninterruptible, and cannot be killed. Linux, fs/fuse,
 * include/uapi/linux/fuse.h. Takes root. Whatever ends this process ends the waiting.
 */
import { spawn } from 'node:child_process';
import { accessSync, closeSync, constants, openSync, read, writeSync } from 'node:fs';

export interface HangingMount {
  /** From now on nothing is answered. */
  hang(): void;
  /** What was asked meanwhile is answered, and whatever is asked from now on. */
  answer(): void;
  /** Questions that wait for their answer. */
  waiting(): number;
  /** Answers what waits, unmounts and lets go. Nothing may use it any more. */
  end(): Promise<void>;
}

/** Why there can be none here; `undefined`: there can. */
export function noHangingMount(): string | undefined {
  if (process.getuid?.() !== 0) return 'only root can mount';
  try {
    accessSync('/dev/fuse', constants.R_OK | constants.W_OK);
    return undefined;
  } catch {
    return 'this machine has no FUSE';
  }
}

const ops = {
  lookup: 1,
  forget: 2,
  getattr: 3,
  open: 14,
  read: 15,
  write: 16,
  statfs: 17,
  release: 18,
  fsync: 20,
  flush: 25,
  init: 26,
  opendir: 27,
  readdir: 28,
  releasedir: 29,
  interrupt: 36,
  batchForget: 42,
} as const;
const unanswered: ReadonlySet<number> = new Set([ops.forget, ops.interrupt, ops.batchForget]);
const noEntry = -2;
const notKnown = -38;
const block = 4096;
const longestRequest = 1024 * 1024;
/** Of what is open past the page cache, so that nothing of it is remembered. */
const directIo = 1;

/**
 * `source`: as mountinfo names it, e.g. `192.0.2.10:/export`. `file`: the only one in it, if any; it is written to in place.
 * Resolves once it is mounted at `path`, which exists.
 */
export async function mountHanging(
  path: string,
  source: string,
  file?: { readonly name: string; readonly content: Buffer },
): Promise<HangingMount> {
  const device = openSync('/dev/fuse', 'r+');
  let hangs = false;
  const held: (() => void)[] = [];

  const reply = (unique: bigint, error: number, body: Buffer = Buffer.alloc(0)): void => {
    const head = Buffer.alloc(16);
    head.writeUInt32LE(16 + body.length, 0);
    head.writeInt32LE(error, 4);
    head.writeBigUInt64LE(unique, 8);
    try {
      writeSync(device, Buffer.concat([head, body]));
    } catch (error_) {
      // Whoever asked is gone.
      if ((error_ as NodeJS.ErrnoException).code !== 'ENOENT') throw error_;
    }
  };

  const attributes = (node: bigint): Buffer => {
    const of = Buffer.alloc(88);
    const isFile = node === 2n;
    of.writeBigUInt64LE(node, 0);
    of.writeBigUInt64LE(BigInt(isFile ? (file?.content.length ?? 0) : 0), 8);
    of.writeUInt32LE(isFile ? 0o100600 : 0o40755, 60);
    of.writeUInt32LE(isFile ? 1 : 2, 64);
    of.writeUInt32LE(block, 80);
    return of;
  };

  const answerTo = (request: Buffer): void => {
    const unique = request.readBigUInt64LE(8);
    const node = request.readBigUInt64LE(16);
    const body = request.subarray(40);
    switch (request.readUInt32LE(4)) {
      case ops.init: {
        const limits = Buffer.alloc(64);
        for (const [value, at] of [
          [7, 0],
          [31, 4],
          [65_536, 8],
          [65_536, 20],
          [1, 24],
        ] as const)
          limits.writeUInt32LE(value, at);
        return reply(unique, 0, limits);
      }
      case ops.lookup:
        if (file === undefined || body.subarray(0, -1).toString('utf8') !== file.name) return reply(unique, noEntry);
        return reply(unique, 0, Buffer.concat([number64(2n), Buffer.alloc(32), attributes(2n)]));
      case ops.getattr:
        return reply(unique, 0, Buffer.concat([Buffer.alloc(16), attributes(node)]));
      case ops.statfs: {
        const sizes = Buffer.alloc(80);
        for (const [value, at] of [
          [1_000_000n, 0],
          [600_000n, 8],
          [600_000n, 16],
        ] as const)
          sizes.writeBigUInt64LE(value, at);
        for (const [value, at] of [
          [block, 40],
          [255, 44],
          [block, 48],
        ] as const)
          sizes.writeUInt32LE(value, at);
        return reply(unique, 0, sizes);
      }
      case ops.open:
        return reply(unique, 0, Buffer.concat([Buffer.alloc(8), number32(directIo), Buffer.alloc(4)]));
      case ops.opendir:
        return reply(unique, 0, Buffer.alloc(16));
      case ops.read: {
        const from = Number(body.readBigUInt64LE(8));
        return reply(unique, 0, file?.content.subarray(from, from + body.readUInt32LE(16)));
      }
      case ops.write: {
        const size = body.readUInt32LE(16);
        body.copy(file?.content ?? Buffer.alloc(0), Number(body.readBigUInt64LE(8)), 40, 40 + size);
        return reply(unique, 0, Buffer.concat([number32(size), Buffer.alloc(4)]));
      }
      case ops.readdir:
      case ops.release:
      case ops.releasedir:
      case ops.flush:
      case ops.fsync:
        return reply(unique, 0);
      default:
        return reply(unique, notKnown);
    }
  };

  const buffer = Buffer.alloc(longestRequest);
  const ended = Promise.withResolvers<void>();
  const readNext = (): void =>
    read(device, buffer, 0, buffer.length, null, (error, length) => {
      // Unmounted.
      if (error !== null) return ended.resolve();
      const request = Buffer.from(buffer.subarray(0, length));
      if (!unanswered.has(request.readUInt32LE(4)))
        if (hangs) held.push(() => answerTo(request));
        else answerTo(request);
      readNext();
    });

  const answer = (): void => {
    hangs = false;
    for (const late of held.splice(0)) late();
  };
  // Where `mount` is killed nothing is mounted, so it may be waited for; it asks nothing that has to be answered.
  await run(
    'mount',
    ['-i', '-t', 'fuse', '-o', 'fd=3,rootmode=40000,user_id=0,group_id=0,allow_other', source, path],
    device,
  );
  readNext();
  return {
    hang: () => void (hangs = true),
    answer,
    waiting: () => held.length,
    end: async () => {
      answer();
      await run('umount', ['-l', path]);
      await ended.promise;
      closeSync(device);
    },
  };
}

const number64 = (value: bigint): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return bytes;
};

const number32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};

function run(program: string, args: readonly string[], device?: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'inherit', device ?? 'ignore'] });
    child.once('error', reject);
    child.once('exit', (code) =>
      code === 0
        ? resolve()
        : reject(new Error(`cannot ${program} ${args.at(-1) ?? ''}: it ended with ${String(code)}`)),
    );
  });
}
