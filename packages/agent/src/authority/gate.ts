/**
 * The gate: whether an effect may happen, on this evidence, in this world, now. Pure and total; the sole minter of
 * warrants together with provenance. It decides by the row of the effect and in this order: is it understood, whose
 * guest is it, does it need a signature, is there a hold, is it inside the ranges, how many guests were touched today.
 */
import { canonicalDigest, digestOfBlocked, makeBlockedDocument, reason } from '@felhom/protocol';
import type { BlockedAction, BlockedActionParts, EffectClass, ErrorCode, Reason } from '@felhom/protocol';
import type { HostPolicy } from '../host-policy.ts';
import { askedFor } from './asked.ts';
import type { Asked } from './asked.ts';
import { isBlastLimitReached } from './blast-radius.ts';
import type { Effect, GuestEffect } from './effects.ts';
import type { Evidence, GateFacts, GuestFacts } from './facts.ts';
import type { GateRow } from './gate-row.ts';
import { effectRows, isGuestEffect, rowOf } from './gate-table.ts';
import type { RowId } from './gate-table.ts';
import { destroyWarrantFor, freeVolumesWarrantFor } from './provenance.ts';
import type { DestroyDecision } from './provenance.ts';
import { rangeBreaches } from './ranges.ts';
import type { Warrant } from './warrant.ts';

export type Decision =
  | { readonly is: 'allowed'; readonly row: RowId; readonly warrants: readonly Warrant[] }
  /** An operator can allow it by signing the digest of exactly this action. */
  | { readonly is: 'blocked'; readonly row: RowId; readonly action: BlockedAction; readonly why: Reason }
  | {
      readonly is: 'refused';
      readonly row: RowId;
      readonly why: Reason;
      /** With `job.more-people`: how many different people still have to sign. */
      readonly missing?: number;
    };

/** A start fights nobody: after a person stopped a guest, this long. */
const personsStopMs = 10 * 60_000;

/** `now`: wall time in milliseconds. It only ever makes the gate stricter. */
export function decide(effect: Effect, evidence: Evidence, facts: GateFacts, now: number): Decision {
  const id = effectRows[effect.kind];
  if (facts.policy === undefined)
    return refuse(id, effect.kind, 'gate.policy-unreadable', 'the policy file of this host does not read; mend it');
  if (!isGuestEffect(effect)) {
    const piece = pieces[rowOf(effect.kind).availableSince];
    return refuse(id, effect.kind, 'gate.not-built', `this release cannot do it; it comes with ${piece}`);
  }
  switch (evidence.is) {
    case 'signed-job':
      return refuse(id, effect.kind, 'gate.no-signatures', 'this release cannot verify signatures yet');
    case 'same-saga':
      return compensate(effect, evidence, facts);
    case 'scratch':
      return tearDown(effect, evidence, facts);
    case 'desired-state':
    case 'local-root':
      return converge(effect, evidence, facts, facts.policy, now);
  }
}

const pieces = {
  now: 'a later release',
  backups: 'backups and the local API',
  host: 'the host piece',
  shipping: 'self-update',
  enrolment: 'enrolment',
} as const satisfies Record<GateRow['availableSince'], string>;

/** Undoing what the same saga did. Goes on under hold and is not counted: it leaves nothing half-built. */
function compensate(effect: GuestEffect, evidence: Extract<Evidence, { is: 'same-saga' }>, facts: GateFacts): Decision {
  const row = effectRows[effect.kind];
  if (effect.kind !== 'guest-remove' && effect.kind !== 'volume-remove')
    return refuse(
      row,
      effect.kind,
      'gate.no-authority',
      `what saga ${evidence.sagaId} made can be removed, nothing else`,
    );
  const { seen } = evidence;
  if (effect.guest.uid !== evidence.basis.uid || effect.guest.incarnation !== evidence.basis.incarnation)
    return refuse(
      row,
      effect.kind,
      'gate.no-authority',
      `saga ${evidence.sagaId} did not make guest ${effect.guest.name}`,
    );
  const known = facts.guest?.record.uid === effect.guest.uid ? facts.guest.record : undefined;
  return effect.kind === 'volume-remove'
    ? warranted(row, freeVolumesWarrantFor(evidence.basis, seen, [effect.volid], known))
    : warranted(row, destroyWarrantFor(evidence.basis, seen, known));
}

function tearDown(effect: GuestEffect, evidence: Extract<Evidence, { is: 'scratch' }>, facts: GateFacts): Decision {
  const row = effectRows[effect.kind];
  const { record } = evidence;
  if (effect.kind !== 'guest-remove')
    return refuse(row, effect.kind, 'gate.no-authority', 'a scratch guest can be removed, nothing else');
  if (!record.scratch || record.uid !== effect.guest.uid || record.incarnation !== effect.guest.incarnation)
    return refuse(row, effect.kind, 'gate.no-authority', `guest ${effect.guest.name} is not on record as scratch`);
  const range = facts.policy?.vmids.scratch;
  if (range === undefined || record.vmid < range.from || record.vmid > range.to)
    return refuse(row, effect.kind, 'gate.no-authority', `VMID ${record.vmid} is outside the scratch range`);
  const basis = {
    vmid: record.vmid,
    uid: record.uid,
    incarnation: record.incarnation,
    marker: record.marker,
    allocated: record.volumes.map((volume) => volume.volid),
    carriedOver: [],
    listedBeforeCreate: evidence.listedBeforeCreate,
  };
  return warranted(row, destroyWarrantFor(basis, evidence.seen, record));
}

function warranted(row: RowId, decision: DestroyDecision<Warrant>): Decision {
  return decision.is === 'warranted'
    ? { is: 'allowed', row, warrants: [decision.warrant] }
    : { is: 'refused', row, why: decision.why };
}

/** Desired state, and root at the socket of this box, which may besides do what merely diverts. */
function converge(
  effect: GuestEffect,
  evidence: Extract<Evidence, { is: 'desired-state' | 'local-root' }>,
  facts: GateFacts,
  policy: HostPolicy,
  now: number,
): Decision {
  const id = effectRows[effect.kind];
  const row = rowOf(effect.kind);
  const asked = askedFor(effect, facts.guest);
  const no = (code: ErrorCode, because: string): Decision => refuse(id, asked.words, code, because);
  if (asked.contradiction !== undefined) return no('gate.contradictory', asked.contradiction);
  const stranger = whoseGuest(asked, row, facts.guest);
  if (stranger !== undefined) return no(stranger.code, stranger.text);

  const blocked = (code: ErrorCode, effectClass: EffectClass, because: string): Decision =>
    block(id, asked, effectClass, reason(code, because), facts, now);
  const served = facts.guest !== undefined && facts.guest.record.servedAt !== undefined;
  const verdict = row.verdict === 'signed' && row.beforeServed === 'ranged' && !served ? 'ranged' : row.verdict;
  const rootMay = evidence.is === 'local-root' && row.classes.every((effectClass) => effectClass === 'divert');
  switch (verdict) {
    case 'finding-only':
    case 'never-from-hub':
    case 'refused-document':
    case 'not-in-schema':
      return no('gate.never', `${row.what} is not the agent's to change`);
    case 'signed':
      if (!rootMay)
        return blocked(
          'gate.needs-signature',
          row.classes[0] ?? 'destroy',
          `${row.what}: it needs an operator's signature`,
        );
      break;
    case 'unsigned':
    case 'ranged':
      break;
  }

  if (row.underHold === 'stopped' && isHeld(asked, policy))
    return no(
      'gate.on-hold',
      `${policy.hold.host ? 'this host' : `guest ${asked.name}`} is on hold; see the policy file`,
    );
  const stoppedAt = facts.guest?.personStoppedAt;
  if (effect.kind === 'guest-start' && evidence.is === 'desired-state' && stoppedAt !== undefined)
    if (Math.abs(now - stoppedAt) < personsStopMs)
      return no('gate.person-stopped', 'somebody stopped it less than 10 minutes ago');

  const breaches = rangeBreaches(effect, facts, policy);
  if (breaches.length > 0) {
    const because = breaches.map((breach) => breach.text).join('; ');
    const known = breaches.every((breach) => !breach.unknown);
    if (row.beyondRange === 'sign' && known)
      return blocked('gate.out-of-range', row.classes[0] ?? 'divert', `beyond what is allowed unsigned: ${because}`);
    return no(breaches.every((breach) => breach.unknown) ? 'gate.room-unknown' : 'gate.out-of-range', because);
  }
  if (isBlastLimitReached(row.blast, asked.name, facts.touches, policy.limits.blastRadius, now))
    return blocked(
      'gate.blast-radius',
      row.classes[0] ?? 'divert',
      `${policy.limits.blastRadius} guests were already touched in this way within 24 hours (limits.blastRadius)`,
    );
  return { is: 'allowed', row: id, warrants: [] };
}

interface Stranger {
  readonly code: ErrorCode;
  readonly text: string;
}

function whoseGuest(asked: Asked, row: GateRow, known: GuestFacts | undefined): Stranger | undefined {
  if (asked.guest === undefined)
    return known === undefined
      ? undefined
      : { code: 'gate.name-in-use', text: `guest ${asked.name} exists and is never replaced unsigned` };
  if (known === undefined) return { code: 'gate.unknown-guest', text: `no guest ${asked.guest.uid} is on record` };
  const { record, identity } = known;
  if (record.uid !== asked.guest.uid || record.incarnation !== asked.guest.incarnation || record.name !== asked.name)
    return {
      code: 'gate.unknown-guest',
      text: `the guest on record is ${record.name} ${record.uid}.${record.incarnation}, not ${asked.guest.uid}.${asked.guest.incarnation}`,
    };
  if (record.scratch) return { code: 'gate.unknown-guest', text: 'it belongs to a restore-test' };
  switch (identity.is) {
    case 'ours':
      return undefined;
    case 'foreign':
      return {
        code: 'gate.foreign',
        text: `what is at VMID ${record.vmid} is not the guest on record (${identity.why})`,
      };
    case 'unknown':
      return { code: 'gate.not-seen', text: `VMID ${record.vmid} was not seen (${identity.why})` };
    case 'ours-unproven':
      if (row.unproven === 'goes-on') return undefined;
      if (row.unproven === 'if-only-volumes-differ' && identity.why === 'volumes-differ') return undefined;
      // A signature binds the proven guest; a blocked action on a likely one could not be carried out either.
      return {
        code: 'gate.unproven',
        text: `VMID ${record.vmid} is likely, not provably, the guest on record (${identity.why}); ${remedies[identity.why]}`,
      };
  }
}

const remedies = {
  'marker-missing': 'put its marker line back into the notes, or have it adopted by a signed job',
  'volumes-differ': 'undo the change of its volumes, or have it adopted by a signed job',
  'ctime-differs': 'a volume was made anew; have it adopted by a signed job',
} as const;

function isHeld(asked: Asked, policy: HostPolicy): boolean {
  return policy.hold.host || policy.hold.guests.includes(asked.name);
}

function block(
  row: RowId,
  asked: Asked,
  effectClass: EffectClass,
  because: Reason,
  facts: GateFacts,
  now: number,
): Decision {
  const subject: BlockedActionParts['subject'] =
    asked.guest === undefined
      ? { is: 'new-guest', name: asked.name }
      : { is: 'guest', uid: asked.guest.uid, incarnation: asked.guest.incarnation };
  const document = makeBlockedDocument({
    hostEpoch: facts.hostEpoch,
    effectClass,
    subject,
    verb: asked.verb,
    parameters: Object.fromEntries(
      Object.entries(asked.parameters).map(([key, value]) => [key, typeof value === 'string' ? bounded(value) : value]),
    ),
    lossSet: asked.loss.map(bounded),
  });
  const digest = digestOfBlocked(document);
  const text = `${asked.words}: ${because.text}`.slice(0, 1000).toWellFormed();
  return {
    is: 'blocked',
    row,
    action: { document, digest, text, since: Math.max(0, Math.trunc(now)) },
    why: { ...because, text: `cannot ${text}. A signature over ${digest} allows it` },
  };
}

/** Observed text may be long or broken; here it only has to be the same when it is the same. */
function bounded(text: string): string {
  const formed = text.toWellFormed();
  return formed.length <= 1000 ? formed : `sha256 ${canonicalDigest(formed)}`;
}

function refuse(row: RowId, what: string, code: ErrorCode, because: string): Extract<Decision, { is: 'refused' }> {
  return { is: 'refused', row, why: reason(code, `cannot ${what}: ${because}`) };
}
