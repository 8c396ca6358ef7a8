import type { VerifiedHost } from '../verified-host.ts';
import { guestNamed, guestWords, jobGuest, meaning, notShown, operand, option, wholeNumber } from './job-file.ts';
import type { JobFile } from './job-file.ts';

export const decommission: JobFile<'decommission'> = {
  kind: 'decommission',
  commands: [
    {
      name: 'decommission',
      about: 'remove a guest and its volumes for good, after cool-off and quarantine',
      operands: [['<guest>', 'name of the guest']],
      options: [
        ['--delete-backups', 'delete its backups as well; else they are kept'],
        ['--cool-off <minutes>', 'shorter or longer than the cool-off of the host; shorter takes two people'],
      ],
      params: (host, given) => {
        const name = operand(given, 0);
        const coolOff = option(given, 'coolOff');
        return {
          guest: jobGuest(host, name),
          lossSet: lossSetOf(host, name),
          backups: given.options['deleteBackups'] === true ? 'delete' : 'keep',
          ...(coolOff === undefined ? {} : { coolOffMinutes: wholeNumber(coolOff, '--cool-off') }),
        };
      },
    },
  ],
  meaning: ({ guest, lossSet, backups, coolOffMinutes }, host) =>
    meaning(`remove ${guestWords(host, guest)} for good`, {
      loses: [
        ...lossSet,
        backups === 'delete' ? 'its backups: nothing can bring it back' : 'nothing of its backups: they are kept',
      ],
      notes: [
        coolOffMinutes === undefined
          ? 'The cool-off of the host passes first; any one signer can cancel it: felhom job cancel.'
          : `A cool-off of ${coolOffMinutes} minutes passes first; any one signer can cancel it: felhom job cancel.`,
        'Then the guest is stopped and kept for the quarantine of the host, and only then freed.',
      ],
      classes: ['destroy', 'removal'],
      atLeast: 2,
    }),
};

/** The loss set that the host itself asks to have approved; else its volumes on record. */
function lossSetOf(host: VerifiedHost, name: string): readonly string[] {
  const guest = guestNamed(host, name);
  const asked = host.report.blocked.find(
    ({ document }) => document.verb === 'guest-remove' && document.subject.startsWith(`${guest.uid}.`),
  );
  const found = asked?.document.lossSet ?? guest.volumes;
  if (found !== undefined) return [...new Set<string>(found)].sort();
  throw notShown(
    `the report of ${host.hostId} does not say which volumes ${name} has, and a job names what would be lost`,
    `take ${name} out of the desired state (felhom desired apply): the host then reports its removal as a blocked action with all its volumes, and felhom approve ${host.hostId} signs exactly that`,
  );
}
