/** The child of `scratch-read`, for real: in namespaces that the test makes, as root only. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import type { ChildProcessByStdio } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { createHostCommand } from '../../adapters/host-command/index.ts';
import { look } from './scratch-read.ts';

const perl = createHostCommand({ program: '/usr/bin/perl', timeoutMs: 20_000 });

/** unshare(2) is 272 on x86_64. It has its maps before it goes on, and uid 0 of its own before it runs anything. */
const guestProgram = `use POSIX (); $| = 1;
syscall(272, 0x10020000) == 0 or die "unshare: $!\\n";
print "apart\\n"; <STDIN>;
$) = '0 0'; POSIX::setgid(0); POSIX::setuid(0);
exec('/bin/sh', '-c', shift @ARGV, 'sh', @ARGV);
`;

interface Guest {
  readonly folder: string;
  readonly first: Parameters<typeof look>[1];
}

type Child = ChildProcessByStdio<Writable, Readable, null>;

const said = (child: Child, word: string): Promise<boolean> =>
  new Promise((resolve) => {
    let text = '';
    child.stdout.on('data', (piece: Buffer) => {
      text += piece.toString();
      if (text.includes(word)) resolve(true);
    });
    child.once('close', () => resolve(false));
  });

/** `script` runs in the guest, in a file system of its own at `folder`. `undefined`: this machine does not let us. */
async function guestOf(t: TestContext, script: string): Promise<Guest | undefined> {
  if (process.getuid?.() !== 0 || process.arch !== 'x64') {
    t.skip('needs root on x86_64: it joins the namespaces of another process');
    return undefined;
  }
  const folder = mkdtempSync(join(tmpdir(), 'felhom-scratch-'));
  chmodSync(folder, 0o755);
  mkdirSync(join(folder, 'root'));
  writeFileSync(join(folder, 'of-the-host'), 'nobody of the guest reads this', { mode: 0o600 });
  const setUp = `mount --make-rprivate / && mount -t tmpfs guest "$1/root" && cd "$1/root" && ${script} && echo ready && exec sleep 600`;
  const child: Child = spawn('/usr/bin/perl', ['-e', guestProgram, '--', setUp, folder], {
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  child.stdin.on('error', () => {});
  const ended = new Promise((resolve) => child.once('close', resolve));
  t.after(async () => {
    child.kill('SIGKILL');
    await ended;
    rmSync(folder, { recursive: true });
  });
  const { pid = 0 } = child;
  if (await said(child, 'apart')) {
    for (const map of ['uid_map', 'gid_map']) writeFileSync(`/proc/${pid}/${map}`, '0 100000 65536');
    child.stdin.end('go\n');
    if (await said(child, 'ready')) {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      const startTicks = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
      return { folder, first: { pid, startTicks, hostUid: 100_000 } };
    }
  }
  t.skip('this machine lets nobody make user and mount namespaces');
  return undefined;
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

test('counts what is there, as the guest’s root, and hashes what was asked for', async (t) => {
  const script = [
    'mkdir -p data/deep other-mount .hidden',
    'printf cat >data/cat.jpg',
    'printf secret >.hidden/key && chmod 600 .hidden/key && chmod 700 .hidden',
    'printf ö >data/tör.txt',
    'ln -s cat.jpg data/link && ln -s data way && mkfifo data/pipe',
    'mount -t tmpfs other other-mount && printf elsewhere >other-mount/file',
  ].join(' && ');
  const guest = await guestOf(t, script);
  if (guest === undefined) return;
  const root = join(guest.folder, 'root');
  const questions = [
    { path: root, samples: ['.hidden/key', 'data/cat.jpg', 'other-mount/file', 'no/such'] },
    { path: join(root, 'data'), samples: ['cat.jpg', 'tör.txt', 'link', 'pipe', 'deep', 'deep/../cat.jpg'] },
    { path: join(root, 'other-mount'), samples: ['file'] },
  ];
  const looked = await look(perl, guest.first, questions);
  const hashed = (text: string) => ({ sizeBytes: Buffer.byteLength(text), sha256: sha256(text) });
  assert.deepEqual(looked, {
    is: 'done',
    found: [
      // `data` is a question of its own, `other-mount` another file system.
      { path: root, files: 1, bytes: 6, samples: [hashed('secret'), hashed('cat'), null, null] },
      {
        path: join(root, 'data'),
        files: 2,
        bytes: 5,
        samples: [hashed('cat'), hashed('ö'), null, null, null, hashed('cat')],
      },
      { path: join(root, 'other-mount'), files: 1, bytes: 9, samples: [hashed('elsewhere')] },
    ],
  });
});

test('is nobody on the host, follows no link, and sees the guest’s mounts alone', async (t) => {
  const guest = await guestOf(t, 'ln -s / out && mkdir real && ln -s "$1" real/up && ln -s /etc/shadow shadow');
  if (guest === undefined) return;
  symlinkSync('/etc', join(guest.folder, 'etc'));
  const root = join(guest.folder, 'root');
  const why = async (path: string, samples: string[] = []): Promise<string> => {
    const looked = await look(perl, guest.first, [{ path, samples }]);
    return looked.is === 'done' ? JSON.stringify(looked.found) : `${looked.is}: ${looked.why}`;
  };
  // The same file that root on the host reads with ease.
  assert.match(await why(guest.folder, ['of-the-host']), /^refused: cannot open: Permission denied/);
  for (const path of [join(root, 'out'), join(guest.folder, 'etc'), join(root, 'real/up'), join(root, 'out/tmp')])
    assert.match(await why(path), /^refused: there is no folder at/);
  assert.match(
    await why(root, ['shadow', 'out/etc/passwd', 'real/up/of-the-host']),
    /"files":0,"bytes":0,"samples":\[null,null,null\]/,
  );
  // Above its root is what its root is made of: no way leads out.
  assert.match(await why(join(root, 'real'), ['../../of-the-host']), /"samples":\[null\]/);
});

test('entries and bytes are bounded; a pid that is somebody else now is not joined', async (t) => {
  const guest = await guestOf(t, 'mkdir a && printf 12345 >a/b && printf 6 >c');
  if (guest === undefined) return;
  const ask = [{ path: join(guest.folder, 'root'), samples: ['a/b'] }];
  const why = async (bounds: object, first = guest.first): Promise<string> => {
    const looked = await look(perl, first, ask, bounds);
    return looked.is === 'done' ? 'done' : `${looked.is}: ${looked.why}`;
  };
  assert.equal(await why({}), 'done');
  assert.match(await why({ entries: 2 }), /^refused: more than 2 entries/);
  assert.match(await why({ bytes: 4 }), /^refused: more than 4 bytes/);
  assert.match(await why({}, { ...guest.first, startTicks: '1' }), /^refused: its first process is another one now/);
  assert.match(await why({}, { ...guest.first, hostUid: 0 }), /^refused: no guest/);
  assert.match(await why({}, { ...guest.first, pid: 1 }), /^refused: no guest/);
});
