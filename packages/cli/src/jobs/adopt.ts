import type { ReportedStranger } from '@felhom/protocol';
import type { VerifiedHost } from '../verified-host.ts';
import { meaning, notShown, operand, option, wholeNumber } from './job-file.ts';
import type { JobFile } from './job-file.ts';

export const adopt: JobFile<'adopt'> = {
  kind: 'adopt',
  commands: [
    {
      name: 'adopt',
      about: 'take a guest that is not on record under the care of the host (as felhom adopt)',
      operands: [['<vmid>', 'VMID of the guest']],
      options: [['--name <name>', 'name it gets; else the one it has']],
      params: (host, given) => {
        const vmid = wholeNumber(operand(given, 0), 'the VMID');
        return adoptionOf(strangerAt(host, vmid), option(given, 'name'));
      },
    },
  ],
  meaning: ({ vmid, name, configDigest, volumes }, host) => {
    const seen = host.report.strangers.find((stranger) => stranger.vmid === vmid);
    const same = seen?.configDigest === configDigest && sameItems(seen.volumes, volumes);
    return meaning(`adopt the guest at VMID ${vmid} as ${name}, with config digest ${configDigest}`, {
      widens: [
        'From then on the host may change this guest, and with further signatures remove it:',
        ...volumes.map((volume) => `volume ${volume}`),
      ],
      notes: same ? [] : ['The host reports another config or other volumes at this VMID, or none: it will refuse.'],
      classes: ['destroy'],
    });
  },
};

export function strangerAt(host: VerifiedHost, vmid: number): ReportedStranger {
  const found = host.report.strangers.find((stranger) => stranger.vmid === vmid);
  if (found !== undefined) return found;
  throw notShown(
    `${host.hostId} reports no guest at VMID ${vmid} that could be adopted`,
    `felhom adopt ${host.hostId} lists those that can; they have to lie in the range of the host's policy`,
  );
}

export function adoptionOf(stranger: ReportedStranger, name: string | undefined): Readonly<Record<string, unknown>> {
  return {
    vmid: stranger.vmid,
    name: name ?? stranger.name,
    configDigest: stranger.configDigest,
    volumes: [...new Set(stranger.volumes)].sort(),
  };
}

function sameItems(a: readonly string[], b: readonly string[]): boolean {
  return [...a].sort().join('\n') === [...b].sort().join('\n');
}
