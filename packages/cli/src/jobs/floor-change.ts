import { digestOfTrust, floorNames } from '@felhom/protocol';
import { meaning, notShown, operand, usage, wholeNumber } from './job-file.ts';
import type { JobFile } from './job-file.ts';

/** Of these a higher value protects less. */
const lowerIsStricter: readonly string[] = ['backupEveryHours', 'restoreTestEveryDays'];

const words = {
  keepDays: 'days of daily backups that are kept at least',
  keepWeeks: 'weeks of weekly backups that are kept at least',
  backupEveryHours: 'hours between two backups at most',
  restoreTestEveryDays: 'days between two restore-tests of a guest at most',
  tiers: 'tiers that hold a copy at least',
} as const;

export const floorChange: JobFile<'floor-change'> = {
  kind: 'floor-change',
  commands: [
    {
      name: 'floor',
      about: 'change a floor that unsigned change may not undercut',
      operands: [
        ['<floor>', floorNames.join(', ')],
        ['<value>', 'the new value'],
      ],
      options: [],
      params: (host, given) => {
        const floor = floorNames.find((name) => name === operand(given, 0));
        if (floor === undefined) throw usage(`the floors are ${floorNames.join(', ')}`);
        if (host.trust === undefined)
          throw notShown(
            `${host.hostId} reports no trust document, and floors are part of it`,
            'put the first one there as root',
          );
        return {
          before: digestOfTrust(host.trust),
          floor,
          from: host.trust.floors[floor],
          to: wholeNumber(operand(given, 1), 'the value'),
        };
      },
    },
  ],
  meaning: ({ before, floor, from, to }, host) => {
    const weaker = lowerIsStricter.includes(floor) ? to > from : to < from;
    return meaning(`change the floor ${floor} of ${host.hostId} from ${from} to ${to} (${words[floor]})`, {
      loses: weaker ? [`protection: unsigned change may then go down to ${to}, which may thin out backups`] : [],
      notes:
        host.trust === undefined || digestOfTrust(host.trust) !== before
          ? ['It starts from another trust document than the one in force: the host will refuse.']
          : [],
      // Raising a floor takes one signer; lowering thins out the safety net.
      classes: weaker ? ['destroy'] : [],
    });
  },
};
