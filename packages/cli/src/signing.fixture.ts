/** For tests of signing: a host that signs what it says, a hub that shows what it is told to, and operators with keys. */
import { spawnSync } from 'node:child_process';
import { generateKeyPairSync, sign } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import {
  armourSshsig,
  digestOfBlocked,
  digestOfEvidence,
  digestOfPayload,
  digestOfReport,
  digestOfText,
  digestOfTrust,
  ed25519Line,
  emptyChain,
  evidenceBytes,
  hostDetail,
  makeBlockedDocument,
  parseEnvelope,
  parsePublicKey,
  parseSshsig,
  signatureNamespaces,
  sshsigSignedData,
  statementText,
  trustDocument,
} from '@felhom/protocol';
import type {
  HostDetail,
  HostStatement,
  Report,
  ReportedJob,
  ReportedRestoreTest,
  RestoreEvidence,
  SignedStatement,
  TrustDocument,
} from '@felhom/protocol';
import { emptyReport } from '@felhom/protocol/report.fixture';
import { runFelhom } from './program.ts';
import { systemMachine } from './system.ts';

export const noOpenssh = spawnSync('ssh-keygen', ['-?']).error === undefined ? false : 'ssh-keygen is not installed';
export const startedAt = Date.UTC(2026, 0, 10);
export const epochs = { first: 'a'.repeat(32), second: 'b'.repeat(32) } as const;
export const uid = 'abcdefghijklmnopqrstuvwxyz' as const;

/** A host key, and statements signed with it. */
export function hostWithKey(hostId = 'alpha') {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const raw = publicKey.export({ format: 'der', type: 'spki' }).subarray(-32);
  const line = ed25519Line(raw);
  return {
    hostId,
    line,
    fingerprint: parsePublicKey(line)?.fingerprint ?? '',
    sign(said: Report, more: Partial<HostStatement> = {}): SignedStatement {
      const statement = {
        v: 1,
        host: hostId,
        hostEpoch: epochs.first,
        sequence: 10,
        at: startedAt,
        challenge: `5.${'c'.repeat(32)}`,
        reportDigest: digestOfReport(said),
        audit: emptyChain,
        trust: said.trust.is === 'held' ? { version: said.trust.document.version, digest: said.trust.digest } : null,
        ...more,
      } as HostStatement;
      const text = statementText(statement);
      const { report: namespace } = signatureNamespaces;
      const signature = sign(null, sshsigSignedData(namespace, Buffer.from(text)), privateKey);
      return { text, signature: armourSshsig(raw, namespace, signature) };
    },
    signEvidence(of: RestoreEvidence): ReportedRestoreTest {
      const { evidence: namespace } = signatureNamespaces;
      const signature = sign(null, sshsigSignedData(namespace, evidenceBytes(of)), privateKey);
      return { evidence: of, digest: digestOfEvidence(of), signature: armourSshsig(raw, namespace, signature) };
    },
  };
}
export type HostWithKey = ReturnType<typeof hostWithKey>;

export const removal = makeBlockedDocument({
  hostEpoch: epochs.first,
  effectClass: 'destroy',
  subject: { is: 'guest', uid: uid as never, incarnation: 1 },
  verb: 'guest-remove',
  parameters: {},
  lossSet: ['local:9000/photos.raw', 'local:9000/root.raw'],
});
export const shrink = makeBlockedDocument({
  hostEpoch: epochs.first,
  effectClass: 'divert',
  subject: { is: 'guest', uid: uid as never, incarnation: 1 },
  verb: 'memory-down',
  parameters: { to: 512 },
  lossSet: [],
});

export function trustOf(
  keys: readonly (readonly [principal: string, line: string])[],
  more: Readonly<Record<string, unknown>> = {},
): TrustDocument {
  return trustDocument.parse({
    v: 1,
    host: 'alpha',
    version: 3,
    issuedAt: startedAt - 1000,
    expiresAt: startedAt + 90 * 86_400_000,
    signers: keys.map(([principal, key]) => ({ principal, key, signs: [signatureNamespaces.job], touch: false })),
    revoked: [],
    thresholds: { destroy: 1, disclose: 1, deploy: 1, divert: 1, removal: 2, trust: 2 },
    loneOperator: false,
    floors: { keepDays: 7, keepWeeks: 4, backupEveryHours: 24, restoreTestEveryDays: 30, tiers: 2 },
    ...more,
  });
}

export const photos = {
  name: 'photos',
  uid,
  incarnation: 1,
  vmid: 9000,
  volumes: ['local:9000/root.raw', 'local:9000/photos.raw'],
  bulkVolumes: ['local:9000/photos.raw'],
  status: 'running',
  drift: [],
  pending: [],
  held: false,
} as const;

export function reportOf(trust: TrustDocument | undefined, more: Readonly<Record<string, unknown>> = {}): Report {
  const blocked = (document: typeof removal, text: string) => ({
    document,
    digest: digestOfBlocked(document),
    text,
    since: startedAt - 60_000,
  });
  return emptyReport({
    lastPassAt: startedAt,
    converged: false,
    guests: [photos],
    blocked: [blocked(removal, 'remove guest photos and all its volumes'), blocked(shrink, 'take memory from photos')],
    trust: trust === undefined ? { is: 'none' } : { is: 'held', digest: digestOfTrust(trust), document: trust },
    ...more,
  });
}

export function detailOf(
  said: Report | undefined,
  statement: SignedStatement | undefined,
  hostId = 'alpha',
): HostDetail {
  return hostDetail.parse({
    hostId,
    state: 'ok',
    createdAt: 1,
    lastContactAt: startedAt,
    guests: { total: 1, running: 1, drifted: 0 },
    sagas: 0,
    parked: 0,
    findings: { total: 0, worst: 'none' },
    blocked: 2,
    converged: false,
    hold: false,
    ...(said === undefined ? {} : { report: said }),
    ...(statement === undefined ? {} : { statement }),
  });
}

/** What the host says of the job in an envelope. */
export function jobIn(text: string, state: ReportedJob['state'], more: Partial<ReportedJob> = {}): ReportedJob {
  const parsed = parseEnvelope(text);
  if (parsed.is !== 'ok') throw new Error(parsed.text);
  const job = JSON.parse(Buffer.from(parsed.value.payload).toString('utf8')) as { jobId: string; kind: string };
  return {
    jobId: job.jobId,
    kind: job.kind,
    digest: digestOfPayload(parsed.value.payload),
    state,
    text: `it is ${state}`,
    guest: '',
    by: ['anna'],
    missing: 0,
    since: startedAt,
    at: startedAt,
    ...more,
  };
}

/** On loopback. Says what `shown` says, keeps what is posted. */
export async function scriptedHub(t: TestContext) {
  const state = {
    shown: undefined as HostDetail | undefined,
    /** Raw answer to `GET /audit`, by `from`. */
    audit: (_from: number): unknown => ({}),
    mailbox: [] as string[],
    withdrawn: [] as string[],
    /** Called with every envelope that was put. */
    onPut: (_text: string): void => undefined,
  };
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const url = new URL(request.url ?? '/', 'http://hub');
      const answer = route(request.method ?? '', url, Buffer.concat(chunks).toString('utf8'));
      response.writeHead(answer === undefined ? 204 : 200, { 'content-type': 'application/json' });
      response.end(answer === undefined ? '' : JSON.stringify(answer));
    });
  });
  function route(method: string, url: URL, body: string): unknown {
    if (url.pathname.endsWith('/audit')) return state.audit(Number(url.searchParams.get('from')));
    if (method === 'DELETE') return void state.withdrawn.push(url.pathname.split('/').at(-1) ?? '');
    if (method === 'POST') {
      const { text } = JSON.parse(body) as { text: string };
      state.mailbox.push(text);
      state.onPut(text);
      return { digest: digestOfText(text) };
    }
    if (url.pathname.endsWith('/envelopes')) {
      const envelopes = state.mailbox.map((text) => ({ digest: digestOfText(text), text, putAt: 1, putBy: 'anna' }));
      return { v: 1, now: startedAt, envelopes };
    }
    return { v: 1, now: startedAt, host: state.shown };
  }
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  return Object.assign(state, { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
}
export type ScriptedHub = Awaited<ReturnType<typeof scriptedHub>>;

/** A person with a home and a clock of her own. Signatures are real and counted. */
export function operator(t: TestContext, hub: Pick<ScriptedHub, 'url'>) {
  const home = mkdtempSync(join(tmpdir(), 'felhom-cli-'));
  t.after(() => rmSync(home, { recursive: true }));
  const made = { signatures: 0, calls: [] as string[][] };
  let now = startedAt + 1000;
  let seed = 1;
  let env: NodeJS.ProcessEnv = { PATH: process.env['PATH'], HOME: home };
  const real = (): ReturnType<typeof systemMachine> => systemMachine(env);
  async function felhom(
    argv: readonly string[],
    more: { readonly answers?: readonly string[]; readonly tty?: boolean } = {},
  ) {
    let out = '';
    let err = '';
    const answers = [...(more.answers ?? [])];
    const code = await runFelhom(
      argv,
      {
        stdout: { write: (text) => void (out += text), isTTY: more.tty ?? false },
        stderr: { write: (text) => void (err += text) },
        env: { FELHOM_HUB_URL: hub.url, FELHOM_TOKEN: 'token' },
        homeDirectory: home,
        readStdin: async () => '',
        ask: async () => answers.shift(),
      },
      {
        now: () => now,
        random: (count) => Uint8Array.from({ length: count }, () => (seed = (seed * 48_271) % 2_147_483_647) & 255),
        sleep: async (ms) => void (now += ms),
        async sshKeygen(args, options) {
          made.calls.push([...args]);
          if (args.includes('sign')) made.signatures += 1;
          // Nobody sits at a terminal here, so nothing may be asked there.
          return real().sshKeygen(args, { ...options, attached: false });
        },
      },
    );
    return { code, out, err };
  }
  return {
    home,
    made,
    felhom,
    at: (time: number) => void (now = time),
    withEnv: (more: NodeJS.ProcessEnv) => void (env = { ...env, ...more }),
    /** Makes a key and answers its public line. */
    async key(file: string): Promise<string> {
      await felhom(['key', 'create', '--no-passphrase', '--file', join(home, file)]);
      return parsePublicKey(readFileSync(join(home, `${file}.pub`), 'utf8'))?.line ?? '';
    },
  };
}

/** Has OpenSSH itself verify every signature of an envelope; answers the people it names. */
export function peopleByOpenssh(
  text: string,
  allowed: readonly (readonly [principal: string, line: string])[],
  folder: string,
  writeFile: (path: string, text: string) => void,
): readonly string[] {
  const parsed = parseEnvelope(text);
  if (parsed.is !== 'ok') throw new Error(parsed.text);
  const { payload, envelope } = parsed.value;
  const allowedFile = join(folder, 'allowed_signers');
  const namespaces = `namespaces="${signatureNamespaces.job}"`;
  writeFile(allowedFile, allowed.map(([principal, line]) => `${principal} ${namespaces} ${line}\n`).join(''));
  return envelope.signatures.flatMap((armoured, at) => {
    const file = join(folder, `signature-${at}`);
    writeFile(file, armoured);
    const line = parseSshsig(armoured)?.key.line;
    const found = allowed.find(([, known]) => known === line)?.[0] ?? 'nobody';
    const args = ['-Y', 'verify', '-f', allowedFile, '-I', found, '-n', signatureNamespaces.job, '-s', file];
    return spawnSync('ssh-keygen', args, { input: payload }).status === 0 ? [found] : [];
  });
}
