/** What people are told of copies that would go and do not: a storage that fills up for it must not come as a surprise. */
import type { Finding, GuestUid } from '@felhom/protocol';
import type { PrunePlan } from '../catalogue/index.ts';

export interface RetentionOf {
  readonly guest: { readonly uid: GuestUid; readonly name: string };
  readonly tier: string;
  readonly plan: PrunePlan | undefined;
}

export function retentionFindings(all: readonly RetentionOf[], now: number): readonly Finding[] {
  return all.flatMap(({ guest, tier, plan }): Finding[] => {
    const held = plan?.kept.filter(({ why }) => why.includes('frozen')) ?? [];
    if (plan?.frozen === undefined || held.length === 0) return [];
    return [
      {
        key: 'backup.retention-held',
        severity: 'warning',
        subject: `${guest.name}/${tier}`.slice(0, 120),
        text: `${held.length} copies of guest ${guest.name} on tier ${tier} are past their time and kept: ${plan.frozen}`.slice(
          0,
          1000,
        ),
        advice: {
          text: 'Look at that backup. Where its contents are as they should be, delete old copies by a signed job when room runs short.',
        },
        since: now,
      },
    ];
  });
}
