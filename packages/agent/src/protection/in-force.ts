/** The backup plan as it is in force now, for whoever asks at whatever moment: sagas after a crash among them. */
import { z } from 'zod';
import { backupPlan, backupTier } from '@felhom/protocol';
import type { BackupPlan, BackupTier, DesiredGuest, Floors, HeldDesiredState } from '@felhom/protocol';
import type { GuestRecord } from '../authority/guest-record.ts';
import { effectivePlan } from '../catalogue/index.ts';
import type { EffectivePlan } from '../catalogue/index.ts';
import type { HostPolicy } from '../host-policy.ts';
import type { Documents } from '../kernel/journal.ts';

export interface InForceNeeds {
  readonly documents: Pick<Documents, 'get' | 'put'>;
  readonly desired: () => HeldDesiredState;
  readonly policy: () => HostPolicy | undefined;
  readonly floors: () => Floors | undefined;
  readonly records: () => readonly GuestRecord[];
  readonly now: () => number;
  /** The host's time zone. */
  readonly zone: string;
}

export interface InForce {
  /** `undefined` while the policy does not read: then nothing is due and nothing may go. */
  plan(): EffectivePlan | undefined;
  graceMs(): number;
  desiredGuest(record: Pick<GuestRecord, 'name'>): DesiredGuest | undefined;
  /** Makes what is accepted now durable; to be called before anything follows from the plan. */
  accept(): void;
}

const key = 'backup-plan';
const stored = z.strictObject({ tiers: z.array(backupTier).max(8), graceMinutes: backupPlan.shape.graceMinutes });

export function createInForce(needs: InForceNeeds): InForce {
  const accepted = (): z.output<typeof stored> | undefined => {
    const found = needs.documents.get(key);
    return found === undefined ? undefined : stored.parse(found.body);
  };
  /** Without a document the last accepted tiers stay: a hub that says nothing ends no backups. */
  const asked = (): BackupPlan => {
    const held = needs.desired();
    return held.is === 'held' ? held.state.backups : (accepted() ?? backupPlan.parse({}));
  };
  let last: { readonly key: string; readonly plan: EffectivePlan } | undefined;
  /** Searching schedules costs milliseconds, and it is asked many times a round: the same question has one answer. */
  const plan = (): EffectivePlan | undefined => {
    const policy = needs.policy();
    if (policy === undefined) return undefined;
    const held = needs.desired();
    const guests = held.is === 'held' ? held.state.guests : [];
    const input = {
      desired: asked(),
      guests: needs
        .records()
        .filter((record) => !record.scratch)
        .map((record) => {
          const tiers = guests.find(({ name }) => name === record.name)?.backup?.tiers;
          return { uid: record.uid, name: record.name, ...(tiers === undefined ? {} : { tiers }) };
        }),
      policy: policy.backups,
      floors: needs.floors(),
      accepted: accepted()?.tiers ?? [],
      defaultZone: needs.zone,
    };
    // Findings carry the moment, and a schedule is looked at from it on: a minute is fresh enough for both.
    const minute = Math.floor(needs.now() / 60_000);
    const asKey = JSON.stringify([input, minute]);
    if (last?.key !== asKey) last = { key: asKey, plan: effectivePlan({ ...input, now: needs.now() }) };
    return last.plan;
  };
  return {
    plan,
    graceMs: () => asked().graceMinutes * 60_000,
    desiredGuest: ({ name }) => {
      const held = needs.desired();
      return held.is === 'held' ? held.state.guests.find((guest) => guest.name === name) : undefined;
    },
    accept: () => {
      const next: readonly BackupTier[] | undefined = plan()?.accepted;
      if (next === undefined) return;
      const body = { tiers: [...next], graceMinutes: asked().graceMinutes };
      if (JSON.stringify(body) !== JSON.stringify(accepted())) needs.documents.put({ key, v: 1, body });
    },
  };
}
