/**
 * The gate: whether an effect may happen, on this evidence, in this world, now. Pure and total; the sole minter of
 * warrants together with provenance. It decides by the row of the effect and in this order: is it understood, whose
 * guest is it, does it need a signature, is there a hold, is it inside the ranges, how many guests were touched today.
 * What a signature opens is in `signed.ts`.
 */
import { digestOfBlocked, reason } from '@felhom/protocol';
import type { ErrorCode, Reason } from '@felhom/protocol';
import type { HostPolicy } from '../host-policy.ts';
import { documentOf } from './action-document.ts';
import { askedFor } from './asked.ts';
import type { Asked } from './asked.ts';
import { isBlastLimitReached } from './blast-radius.ts';
import { heldBy, refuse, verdictFor } from './decision.ts';
import type { Decision } from './decision.ts';
import type { BuiltEffect, Effect, JobEffect } from './effects.ts';
import type { Evidence, GateFacts } from './facts.ts';
import type { GateRow } from './gate-row.ts';
import { effectRows, isBuilt, isJobEffect, isProtectionEffect, isRouteEffect, rowOf } from './gate-table.ts';
import type { RowId } from './gate-table.ts';
import { destroyWarrantFor, freeVolumesWarrantFor } from './provenance.ts';
import type { DestroyDecision } from './provenance.ts';
import { rangeBreaches } from './ranges.ts';
import { decideSigned } from './signed.ts';
import type { Warrant } from './warrant.ts';
import { whoseGuest } from './whose-guest.ts';

export type { Decision } from './decision.ts';

/** A start fights nobody: after a person stopped a guest, this long. */
const personsStopMs = 10 * 60_000;

/** `now`: wall time in milliseconds. It only ever makes the gate stricter. */
export function decide(effect: Effect, evidence: Evidence, facts: GateFacts, now: number): Decision {
  const id = effectRows[effect.kind];
  if (facts.policy === undefined)
    return refuse(id, effect.kind, 'gate.policy-unreadable', 'the policy file of this host does not read; mend it');
  if (!isBuilt(effect)) {
    const piece = pieces[rowOf(effect.kind).availableSince];
    return refuse(id, effect.kind, 'gate.not-built', `this release cannot do it; it comes with ${piece}`);
  }
  switch (evidence.is) {
    case 'signed-job':
      if (isProtectionEffect(effect))
        return refuse(id, effect.kind, 'gate.no-authority', 'no job asks for it: it goes on by itself');
      return decideSigned(effect, evidence, facts, facts.policy, now);
    case 'same-saga':
      return compensate(effect, evidence, facts);
    case 'scratch':
      return tearDown(effect, evidence, facts);
    case 'desired-state':
      if (isJobEffect(effect))
        return refuse(id, effect.kind, 'gate.no-authority', 'no desired state asks for it, only a signed job');
      if (isRouteEffect(effect))
        return refuse(id, effect.kind, 'gate.no-authority', 'only the guest itself asks for it');
      return converge(effect, evidence, facts, facts.policy, now);
    case 'guest-itself':
      if (!isRouteEffect(effect) || effect.guest.uid !== evidence.uid)
        return refuse(id, effect.kind, 'gate.no-authority', 'a guest may ask for its own protection and nothing else');
      return converge(effect, evidence, facts, facts.policy, now);
    case 'restore-window':
      return endWindow(effect, evidence, facts, now);
    case 'local-root':
      if (isRouteEffect(effect))
        return refuse(id, effect.kind, 'gate.no-authority', 'only the guest itself asks for it');
      if (isJobEffect(effect) && !rootMay[effect.kind])
        return refuse(id, effect.kind, 'gate.needs-signature', 'at this socket root may not; it takes a signed job');
      return converge(effect, evidence, facts, facts.policy, now);
  }
}

/** Root has other means for all of it; these are at hand because they end or resume what waits for a person. */
const rootMay = {
  'hold-set': true,
  'hold-clear': true,
  'saga-resume': true,
  'saga-abandon': true,
  'guest-lift-quarantine': true,
  'break-glass-close': true,
  'guest-decommission': false,
  'guest-adopt': false,
  'guest-re-register': false,
  'trust-change': false,
  'floor-change': false,
  'break-glass-open': false,
  // Root does it at the host itself: felhom-agent storage.
  'target-attach': false,
  'target-detach': false,
  'target-wipe': false,
  'target-re-point': false,
  'tunnel-change': false,
  // Takes a copy more; whoever is root on the host can run vzdump anyway.
  'backup-force': true,
  'backup-delete': false,
  'backup-unprotect': false,
  'restore-overwrite': false,
  'restore-in-place': false,
  'restore-copy': false,
  'guest-rollback': false,
  'restore-undo': false,
  'restore-finish': false,
} as const satisfies Record<JobEffect['kind'], boolean>;

const pieces = {
  now: 'a later release',
  backups: 'backups and the local API',
  host: 'the host piece',
  shipping: 'self-update',
  enrolment: 'enrolment',
} as const satisfies Record<GateRow['availableSince'], string>;

/** Undoing what the same saga did. Goes on under hold and is not counted: it leaves nothing half-built. */
function compensate(effect: BuiltEffect, evidence: Extract<Evidence, { is: 'same-saga' }>, facts: GateFacts): Decision {
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

/** What was signed for when the restore was, volume by volume, and not before its time. */
function endWindow(
  effect: BuiltEffect,
  evidence: Extract<Evidence, { is: 'restore-window' }>,
  facts: GateFacts,
  now: number,
): Decision {
  const id = effectRows[effect.kind];
  const no = (because: string): Decision => refuse(id, effect.kind, 'gate.no-authority', because);
  if (effect.kind !== 'restore-finish' || effect.sagaId !== evidence.sagaId)
    return no('the end of an undo window frees the guest that was replaced, and nothing else');
  if (new Set(effect.loss).symmetricDifference(new Set(evidence.loss)).size > 0)
    return no('what it frees is not what the restore was signed for');
  if (now < evidence.endedAt) return no('the undo window is open');
  const asked = askedFor(effect, facts.guest);
  const stranger = whoseGuest(effect, asked, rowOf(effect.kind), facts);
  return stranger === undefined
    ? { is: 'allowed', row: id, warrants: [] }
    : refuse(id, asked.words, stranger.code, stranger.text);
}

function tearDown(effect: BuiltEffect, evidence: Extract<Evidence, { is: 'scratch' }>, facts: GateFacts): Decision {
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

/** Desired state, a guest about itself, and root at the socket of this box, which may besides do what merely diverts. */
function converge(
  effect: BuiltEffect,
  evidence: Extract<Evidence, { is: 'desired-state' | 'local-root' | 'guest-itself' }>,
  facts: GateFacts,
  policy: HostPolicy,
  now: number,
): Decision {
  const id = effectRows[effect.kind];
  const row = rowOf(effect.kind);
  const asked = askedFor(effect, facts.guest);
  const no = (code: ErrorCode, because: string): Decision => refuse(id, asked.words, code, because);
  if (asked.contradiction !== undefined) return no('gate.contradictory', asked.contradiction);
  const stranger = whoseGuest(effect, asked, row, facts);
  if (stranger !== undefined) return no(stranger.code, stranger.text);

  const blocked = (code: ErrorCode, because: string): Decision =>
    block(id, asked, row, reason(code, because), facts.hostEpoch, now);
  const verdict = verdictFor(row, facts.guest);
  const rootsOwn =
    evidence.is === 'local-root' &&
    (isJobEffect(effect) || row.classes.every((effectClass) => effectClass === 'divert'));
  switch (verdict) {
    case 'finding-only':
    case 'never-from-hub':
    case 'refused-document':
    case 'not-in-schema':
      return no('gate.never', `${row.what} is not the agent's to change`);
    case 'signed':
      if (!rootsOwn) return blocked('gate.needs-signature', `${row.what}: it needs an operator's signature`);
      break;
    case 'unsigned':
    case 'ranged':
      break;
  }

  const held = heldBy(row, asked.name, facts);
  if (held !== undefined) return no(held.code, held.text);
  const stoppedAt = facts.guest?.personStoppedAt;
  if (effect.kind === 'guest-start' && evidence.is === 'desired-state' && stoppedAt !== undefined)
    if (Math.abs(now - stoppedAt) < personsStopMs)
      return no('gate.person-stopped', 'somebody stopped it less than 10 minutes ago');

  const breaches = rangeBreaches(effect, facts, policy);
  if (breaches.length > 0) {
    const because = breaches.map((breach) => breach.text).join('; ');
    const known = breaches.every((breach) => !breach.unknown);
    if (row.beyondRange === 'sign' && known)
      return blocked('gate.out-of-range', `beyond what is allowed unsigned: ${because}`);
    return no(breaches.every((breach) => breach.unknown) ? 'gate.room-unknown' : 'gate.out-of-range', because);
  }
  if (
    asked.name !== undefined &&
    isBlastLimitReached(row.blast, asked.name, facts.touches, policy.limits.blastRadius, now)
  )
    return blocked(
      'gate.blast-radius',
      `${policy.limits.blastRadius} guests were already touched in this way within 24 hours (limits.blastRadius)`,
    );
  return { is: 'allowed', row: id, warrants: [] };
}

function block(row: RowId, asked: Asked, rule: GateRow, because: Reason, hostEpoch: string, now: number): Decision {
  const document = documentOf(asked, rule, hostEpoch);
  const digest = digestOfBlocked(document);
  const text = `${asked.words}: ${because.text}`.slice(0, 1000).toWellFormed();
  return {
    is: 'blocked',
    row,
    action: { document, digest, text, since: Math.max(0, Math.trunc(now)) },
    why: { ...because, text: `cannot ${text}. A signature over ${digest} allows it` },
  };
}
