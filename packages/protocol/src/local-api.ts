/**
 * The local API: what a guest may ask of its host, about itself. There is no guest id in any route to forge: the token,
 * and the bridge port that the connection comes from, say whose guest asks. One schema per body; the agent, the client
 * library and the OpenAPI document are all made from them.
 *
 * Work answers 202 with an operation; `GET /v1/operations/{id}` says how far it is. Errors are `localProblem`
 * (RFC 9457). A write may carry `Idempotency-Key`: the same key within a day is the same operation.
 */
import { z } from 'zod';
import { contentManifest } from './content-manifest.ts';
import { digest } from './ids.ts';
import { restoreGrade, restoreVerdict } from './restore-evidence.ts';

/** 128 random bits in lower-case base32. */
const randomId = z.string().regex(/^[a-z2-7]{26}$/);
const time = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const count = time;
const slug = z.string().regex(/^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$/);
const text = z.string().max(1000);
const shortText = z.string().max(200);
const empty = z.strictObject({});

export const localApiVersion = 1;
/** Bytes of a request body; the manifest alone may be larger. */
export const maxLocalBodyBytes = 16_384;
export const idempotencyKey = z.string().regex(/^[A-Za-z0-9_-]{8,64}$/);

/** 256 random bits, base64url. Good for one redemption within minutes [R26]. */
export const claimSecret = z.string().regex(/^[A-Za-z0-9_-]{43}$/);
/** `felhom1_` and 256 random bits, base64url. The agent keeps its SHA-256 only. */
export const guestToken = z.string().regex(/^felhom1_[A-Za-z0-9_-]{43}$/);

/**
 * What reaches a guest in its environment as `FELHOM_CLAIM`: the secret, where the agent listens, and its public key, so
 * that the golden image needs to know no host [R28].
 */
export const claimText = z
  .string()
  .max(300)
  .regex(/^v1,[A-Za-z0-9_-]{43},(?:\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-f:]+\]):\d{1,5},[0-9a-f]{64}$/);

export interface Claim {
  readonly secret: string;
  /** `address:port`. */
  readonly address: string;
  /** SHA-256 of the public key (SPKI) of the agent's CA, hex. */
  readonly spkiSha256: string;
}

export function formatClaim({ secret, address, spkiSha256 }: Claim): string {
  return `v1,${secret},${address},${spkiSha256}`;
}

export function parseClaim(value: string): Claim | undefined {
  if (!claimText.safeParse(value).success) return undefined;
  const [, secret = '', address = '', spkiSha256 = ''] = value.split(',');
  return { secret, address, spkiSha256 };
}

export const localProblem = z.object({
  type: z.string().max(200),
  title: shortText,
  status: z.number().int().min(400).max(599),
  detail: text,
  /** Key of the error catalogue. */
  code: z.string().max(80),
  retryAfterSeconds: z.number().int().min(0).optional(),
});
export type LocalProblem = z.output<typeof localProblem>;

// ------------------------------------------------------------------------------------------------------- bootstrap

export const redeemRequest = z.strictObject({
  /** Absent: by the bridge port alone, while the agent holds the window for this guest open. */
  claim: claimSecret.optional(),
  /** SHA-256 of the guest's machine-id, for the record; changes tell of a copy. */
  machine: digest.optional(),
});
export const redeemed = z.strictObject({
  token: guestToken,
  /** `<uid>` of the guest that the token is for. */
  guest: z.string().max(40),
  name: slug,
  /** PEM of the CAs to trust: the present one, and during a change the next. */
  ca: z.array(z.string().max(8192)).min(1).max(2),
  /** What the guest should do about its identity. */
  identity: z.enum(['fresh', 'continue', 'test', 'none']),
});

// --------------------------------------------------------------------------------------------------------- storage

/**
 * Whether a volume can be relied on now. `away`: its disk is not there; `stale`: it is back, and the guest still has the
 * one that was pulled, until it is restarted. In both what is written goes nowhere. Absent: attached; so it is sent,
 * because a controller that is older than this field refuses what has it.
 */
const volumeState = z.enum(['attached', 'away', 'stale']).optional();

/** What is asked once a minute: it costs the host nothing, and is told while Proxmox does not answer. */
export const volumesView = z.strictObject({
  volumes: z.array(z.strictObject({ name: z.string().max(40), path: z.string().max(200), state: volumeState })).max(33),
});

export const storageView = z.strictObject({
  classes: z.array(z.strictObject({ class: z.enum(['fast', 'slow']), freeBytes: count })).max(8),
  volumes: z
    .array(
      z.strictObject({
        name: z.string().max(40),
        path: z.string().max(200),
        class: z.enum(['fast', 'slow']),
        sizeBytes: count,
        /** In the guest's backups; false: bulk, nothing rolls it back and vzdump leaves it out. */
        backup: z.boolean(),
        ownBackup: z.enum(['in-guest-backup', 'controller', 'none-acknowledged', 'undecided']),
        state: volumeState,
      }),
    )
    .max(33),
  checkpoint: z.strictObject({ by: z.enum(['snapshot', 'backup', 'none']), why: text }),
  restore: z.strictObject({ possible: z.boolean(), why: text }),
});

// ------------------------------------------------------------------------------------------------------ operations

export const operationStates = ['queued', 'running', 'captured', 'done', 'failed'] as const;
export const operation = z.strictObject({
  id: randomId,
  kind: z.enum(['snapshot', 'rollback', 'backup']),
  state: z.enum(operationStates),
  /** For people. */
  text,
  fraction: z.number().min(0).max(1).optional(),
  code: z.string().max(80).optional(),
  /** Of a checkpoint: what `POST /v1/rollback` names. */
  checkpoint: z.string().max(40).optional(),
  /** Who or what it waits for; never another guest's name. */
  waitsFor: shortText.optional(),
  createdAt: time,
  at: time,
});
export type Operation = z.output<typeof operation>;

export const snapshotRequest = z.strictObject({ purpose: z.enum(['deploy', 'update']), label: slug.optional() });
export const rollbackRequest = z.strictObject({ checkpoint: z.string().regex(/^[a-zA-Z][a-zA-Z0-9_-]{1,39}$/) });
export const backupRequest = z.strictObject({
  /** Of what `GET /v1/backup/due` announced. Absent: on demand, within the quota. */
  due: randomId.optional(),
  tier: slug.optional(),
});

// --------------------------------------------------------------------------------------------------------- backups

export const dueBackup = z.strictObject({
  id: randomId,
  tier: slug,
  /** `bulk`: the controller itself copies the volume to its own target and reports it. */
  scope: z.enum(['guest', 'bulk']),
  volume: z.string().max(40).optional(),
  since: time,
  /** After that the agent takes it without the guest's help, crash-consistent. */
  graceUntil: time,
});
export const backupDue = z.strictObject({ due: z.array(dueBackup).max(32), nextAt: time.optional() });

export const backupLine = z.strictObject({
  tier: slug,
  newestAt: time.optional(),
  consistency: z.enum(['app', 'crash']).optional(),
  provenAt: time.optional(),
  rpoMs: count.optional(),
  rtoMs: count.optional(),
  nextAt: time.optional(),
  state: z.enum(['ok', 'late', 'none', 'failing', 'unproven']),
});
export const backupStatus = z.strictObject({
  current: z
    .strictObject({
      operation: randomId.optional(),
      tier: slug,
      state: z.enum(operationStates),
      /** Storage holds the state of the guest: apps may go on, whatever is still being written [R35]. */
      captured: z.boolean(),
      text,
    })
    .nullable(),
  tiers: z.array(backupLine).max(8),
});

/** A bulk volume's own backup, as the controller took and checked it [R25]. */
export const bulkReport = z.strictObject({
  volume: z.string().max(40),
  due: randomId.optional(),
  at: time,
  snapshot: z.string().max(100),
  sizeBytes: count,
  files: count,
  /** The repository was checked and a sample restored. */
  checkedAt: time.optional(),
  failed: text.optional(),
});

export const restoreTestStatus = z.strictObject({
  tests: z
    .array(
      z.strictObject({
        tier: slug,
        at: time,
        verdict: restoreVerdict,
        grade: restoreGrade,
        text,
        rtoMs: count.optional(),
      }),
    )
    .max(16),
});

// ------------------------------------------------------------------------------------------- supervisor, controller

/** One image, by digest. `release`: the signed manifest that names it, which the supervisor verifies itself [R17]. */
export const controllerImage = z.strictObject({
  role: slug,
  version: z.string().max(40),
  digest,
  release: z.strictObject({ payload: z.string().max(90_000), signatures: z.array(z.string().max(4096)).max(8) }),
});
export const desiredController = z.strictObject({
  generation: count,
  image: controllerImage.nullable(),
  config: z.record(z.string().regex(/^[a-z][a-z0-9_-]{0,39}$/), z.string().max(1000)),
  /**
   * What the supervisor should bring about:
   *   run       the image, with the state volume as it is
   *   revert    the image, with the copy of its state volume that was taken before generation `stateOf`
   *   stop      apps stand still, e.g. while a restore is looked at
   */
  directive: z.enum(['run', 'revert', 'stop']),
  /** The copy that `revert` means, and that is taken before a new digest first runs. */
  stateOf: count.optional(),
  /** Whether outward connections may be made: not in a restore-test. */
  outward: z.boolean(),
});
export type DesiredController = z.output<typeof desiredController>;

export const controllerStatus = z.strictObject({
  generation: count,
  /** What runs; null: nothing yet. */
  digest: digest.nullable(),
  version: z.string().max(40).optional(),
  health: z.enum(['starting', 'healthy', 'unhealthy', 'stopped']),
  restarts: count,
  /** Generation whose copy of the state volume exists. */
  stateCopyOf: count.optional(),
  quiesced: z.boolean(),
  text: text.optional(),
  /** Stacks that people stopped on purpose: not to be healed. */
  stoppedStacks: z.array(slug).max(64).default([]),
});
export type ControllerStatus = z.output<typeof controllerStatus>;

export const quiesceRequest = z.strictObject({
  /** What it is for: a due backup, or an operation of its own. */
  due: randomId.optional(),
  /** Seconds until apps go on whatever happens; the agent may shorten it. */
  seconds: z.number().int().min(1).max(600),
});
export const quiesceLease = z.strictObject({
  lease: randomId,
  /** Apps go on by then, whoever is alive [R35]. */
  until: time,
});

export const manifestStored = z.strictObject({ digest });

// ----------------------------------------------------------------------------------------------------------- others

export const consentAnswer = z.strictObject({ given: z.boolean(), id: randomId.optional(), at: time.optional() });
/** What the customer must type, in exactly these words; a click is not a decision. */
export const consentWords = 'I allow my operator to open this machine for a limited time';
/** What the customer typed in the controller's own page: a compromised guest consents for nobody. */
export const consentRequest = z.strictObject({ confirmation: z.string().min(1).max(200) });

export const auditView = z.strictObject({
  /** Canonical texts of this guest's own entries, oldest first; each links to the one before. */
  entries: z.array(z.string().max(8192)).max(200),
  head: z.strictObject({ count, head: digest }),
});

/** Every route: its bodies, whether it takes a token, and what a success is. One row each; nothing else is routed. */
export const localRoutes = {
  redeem: {
    method: 'POST',
    path: '/v1/bootstrap/redeem',
    auth: 'port',
    body: redeemRequest,
    answer: redeemed,
    ok: 200,
  },
  storage: { method: 'GET', path: '/v1/storage', auth: 'token', body: empty, answer: storageView, ok: 200 },
  volumes: { method: 'GET', path: '/v1/volumes', auth: 'token', body: empty, answer: volumesView, ok: 200 },
  snapshot: { method: 'POST', path: '/v1/snapshot', auth: 'token', body: snapshotRequest, answer: operation, ok: 202 },
  rollback: { method: 'POST', path: '/v1/rollback', auth: 'token', body: rollbackRequest, answer: operation, ok: 202 },
  backup: { method: 'POST', path: '/v1/backup', auth: 'token', body: backupRequest, answer: operation, ok: 202 },
  /** Long poll: `?wait=<seconds, at most 50>`. */
  backupDue: { method: 'GET', path: '/v1/backup/due', auth: 'token', body: empty, answer: backupDue, ok: 200 },
  backupStatus: { method: 'GET', path: '/v1/backup/status', auth: 'token', body: empty, answer: backupStatus, ok: 200 },
  bulk: { method: 'POST', path: '/v1/backup/bulk', auth: 'token', body: bulkReport, answer: empty, ok: 200 },
  restoreTest: {
    method: 'GET',
    path: '/v1/restore-test/status',
    auth: 'token',
    body: empty,
    answer: restoreTestStatus,
    ok: 200,
  },
  operation: { method: 'GET', path: '/v1/operations/{id}', auth: 'token', body: empty, answer: operation, ok: 200 },
  /** `?after=<entries that are known>`. */
  audit: { method: 'GET', path: '/v1/audit', auth: 'token', body: empty, answer: auditView, ok: 200 },
  /** Long poll: `?generation=<known>&wait=<seconds, at most 50>`. */
  controller: { method: 'GET', path: '/v1/controller', auth: 'token', body: empty, answer: desiredController, ok: 200 },
  controllerStatus: {
    method: 'POST',
    path: '/v1/controller/status',
    auth: 'token',
    body: controllerStatus,
    answer: empty,
    ok: 200,
  },
  manifest: {
    method: 'POST',
    path: '/v1/manifest',
    auth: 'token',
    body: contentManifest,
    answer: manifestStored,
    ok: 200,
  },
  quiesce: { method: 'POST', path: '/v1/quiesce', auth: 'token', body: quiesceRequest, answer: quiesceLease, ok: 200 },
  unquiesce: { method: 'DELETE', path: '/v1/quiesce', auth: 'token', body: empty, answer: empty, ok: 200 },
  consentGet: {
    method: 'GET',
    path: '/v1/consent/break-glass',
    auth: 'token',
    body: empty,
    answer: consentAnswer,
    ok: 200,
  },
  consent: {
    method: 'POST',
    path: '/v1/consent/break-glass',
    auth: 'token',
    body: consentRequest,
    answer: consentAnswer,
    ok: 200,
  },
  consentWithdraw: {
    method: 'DELETE',
    path: '/v1/consent/break-glass',
    auth: 'token',
    body: empty,
    answer: consentAnswer,
    ok: 200,
  },
  openapi: {
    method: 'GET',
    path: '/v1/openapi.json',
    auth: 'port',
    body: empty,
    answer: z.record(z.string(), z.unknown()),
    ok: 200,
  },
} as const;
export type LocalRouteName = keyof typeof localRoutes;
export type LocalRoute = (typeof localRoutes)[LocalRouteName];
export type LocalBody<N extends LocalRouteName> = z.output<(typeof localRoutes)[N]['body']>;
export type LocalAnswer<N extends LocalRouteName> = z.output<(typeof localRoutes)[N]['answer']>;
