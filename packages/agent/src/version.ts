/** The release, as it shows in reports. */
export const agentVersion = '0.1.0';

/** The same with the slot that the program in this folder lies in; what the package brought lies in none. */
export function versionIn(folder: string): string {
  const slot = /^\/opt\/felhom\/slots\/([ab])\//.exec(folder)?.[1];
  return slot === undefined ? agentVersion : `${agentVersion} (slot ${slot})`;
}
