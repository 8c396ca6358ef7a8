/**
 * The hub must be unable to sign, not merely disinclined: this walks everything that its program can load and looks for
 * the means. What it finds allowed here is all that a compromised hub has to work with.
 */
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { z } from 'zod';

const hub = new URL('../', import.meta.url);
const protocolDoor = new URL('../../protocol/src/index.ts', import.meta.url);
const packages = z.object({ dependencies: z.record(z.string(), z.string()) });

/** Files of the graph by address, and what they import from elsewhere. */
interface Graph {
  readonly files: ReadonlyMap<string, string>;
  readonly imports: readonly { readonly by: string; readonly names: string; readonly from: string }[];
}

const importPattern = /(?:^|\n)\s*(?:import|export)\s(?:([^'";]*?)\sfrom\s)?\s*['"]([^'"]+)['"]/g;
const lateImport = /\bimport\s*\(|\brequire\s*\(|\bcreateRequire\b|\bgetBuiltinModule\b|\bdlopen\b/;

function walk(roots: readonly URL[]): Graph {
  const files = new Map<string, string>();
  const imports: { by: string; names: string; from: string }[] = [];
  const open = [...roots];
  for (let file = open.pop(); file !== undefined; file = open.pop()) {
    if (files.has(file.href)) continue;
    const text = readFileSync(file, 'utf8');
    files.set(file.href, text);
    for (const [, names = '', from = ''] of text.matchAll(importPattern))
      if (from.startsWith('.')) open.push(new URL(from, file));
      else if (from === '@felhom/protocol') open.push(protocolDoor);
      else imports.push({ by: file.href, names, from });
  }
  return { files, imports };
}

/** Comments may speak of what the code must not do. */
function withoutComments(text: string): string {
  return text.replaceAll(/\/\*[\s\S]*?\*\//g, '').replaceAll(/(^|\s)\/\/.*$/gm, '');
}

function sourcesOf(folder: URL): URL[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.(?:ts|js)$/.test(name) && !/\.(?:test|fixture)\.ts$/.test(name))
    .map((name) => new URL(name, folder));
}

const graph = walk(sourcesOf(new URL('src/', hub)));
const allowedPackages = ['fastify', 'nodemailer', 'zod'];
/** No key is made, read or used to sign; `createHmac` is for webhooks whose receiver shares a secret. */
const allowedOfCrypto = ['createHash', 'createHmac', 'createPublicKey', 'randomBytes', 'timingSafeEqual', 'verify'];
const meansToSign =
  /\b(?:sign|createSign|generateKeyPair|generateKeyPairSync|createPrivateKey|subtle|diffieHellman)\s*\(|['"`]ssh-keygen['"`]|\bwebcrypto\b|PRIVATE KEY|SSH_AUTH_SOCK/;

test('the walk sees the hub and the protocol', () => {
  const names = [...graph.files.keys()].join('\n');
  for (const part of [
    'hub/src/main.ts',
    'hub/src/mailbox/deliver.ts',
    'hub/src/dashboard/page.js',
    'protocol/src/sshsig.ts',
  ])
    assert.ok(names.includes(part), part);
  assert.ok(!names.includes('.test.ts'));
});

test('nothing that the hub can load has the means to sign', () => {
  for (const [file, text] of graph.files) {
    assert.doesNotMatch(withoutComments(text), meansToSign, file);
    assert.doesNotMatch(withoutComments(text), lateImport, `${file} loads code that this walk cannot see`);
  }
});

test('the hub loads a few packages and no others, and none of the agent or the command line', () => {
  for (const { by, from } of graph.imports)
    if (!from.startsWith('node:')) assert.ok(allowedPackages.includes(from), `${by} imports ${from}`);
  const { dependencies } = packages.parse(JSON.parse(readFileSync(new URL('package.json', hub), 'utf8')));
  for (const name of Object.keys(dependencies))
    assert.ok(['@felhom/protocol', ...allowedPackages].includes(name), `package.json names ${name}`);
});

test('the hub starts no program, and takes from the cryptography of Node what cannot sign', () => {
  for (const { by, names, from } of graph.imports) {
    assert.doesNotMatch(from, /child_process|worker_threads|cluster|node:vm|node:module|node:wasi|node:ffi/, by);
    if (!/crypto/.test(from)) continue;
    const taken = /^\{([^}]*)\}$/.exec(names.trim())?.[1];
    assert.ok(taken !== undefined, `${by} takes all of ${from}`);
    for (const name of taken.split(',').map((part) => part.trim()))
      if (name !== '') assert.ok(allowedOfCrypto.includes(name), `${by} takes ${name}`);
  }
});

const sinners: [name: string, text: string][] = [
  ['sign', 'const s = sign(null, data, key);'],
  ['a method', 'crypto.createSign ("x")'],
  ['a new key', 'generateKeyPairSync("ed25519")'],
  ['a key file', 'createPrivateKey(pem)'],
  ['a program', "spawn('ssh-keygen', ['-Y', 'sign'])"],
];
for (const [name, text] of sinners)
  test(`the search finds ${name}`, () => {
    assert.match(withoutComments(`/* sign( */ ${text} // createSign(`), meansToSign);
    assert.doesNotMatch(withoutComments(`/* ${text} */\n// ${text}`), meansToSign);
  });
