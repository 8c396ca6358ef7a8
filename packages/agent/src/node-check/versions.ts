/** Which versions of Proxmox VE the agent works with, and what older ones lose. Pure. */

export type VersionVerdict =
  | { readonly is: 'good' }
  /** Works, without some things. */
  | { readonly is: 'limited'; readonly loses: readonly string[] }
  | { readonly is: 'refused'; readonly why: string; readonly advice: string };

/** `pveContainer` is the installed version of that package, where it could be read. */
export function judgeVersions(pveVersion: string, pveContainer: string | undefined): VersionVerdict {
  const pve = parse(pveVersion);
  if (pve === undefined)
    return {
      is: 'refused',
      why: `Proxmox VE tells a version that is none: "${pveVersion.slice(0, 40)}"`,
      advice: 'Check that the address is that of a Proxmox VE node.',
    };
  if (before(pve, [8, 0, 0]))
    return {
      is: 'refused',
      why: `Proxmox VE ${pveVersion} is older than 8.0`,
      advice: 'Upgrade to Proxmox VE 9.1 or newer.',
    };
  const pct = pveContainer === undefined ? undefined : parse(pveContainer);
  if (pct !== undefined && !before(pct, [6, 0, 15]) && before(pct, [6, 0, 17]))
    return {
      is: 'refused',
      why: `pve-container ${pveContainer} cannot restore containers from Proxmox Backup Server`,
      advice: 'Run apt update && apt install pve-container; 6.0.17 mended it.',
    };
  const loses: string[] = [];
  if (before(pve, [9, 1, 0]))
    loses.push('guests get no environment: identity of copies and first-boot settings cannot be passed in');
  if (before(pve, [8, 3, 0])) loses.push('errors of Proxmox are shortened to their first line');
  if (pct === undefined) loses.push('the version of pve-container is not visible, so its known faults are not either');
  return loses.length === 0 ? { is: 'good' } : { is: 'limited', loses };
}

type Version = readonly [number, number, number];

function parse(text: string): Version | undefined {
  const found = /^(\d+)\.(\d+)(?:[.~-](\d+))?/.exec(text);
  return found === null ? undefined : [Number(found[1]), Number(found[2]), Number(found[3] ?? 0)];
}

function before(version: Version, limit: Version): boolean {
  for (const at of [0, 1, 2] as const) if (version[at] !== limit[at]) return version[at] < limit[at];
  return false;
}
