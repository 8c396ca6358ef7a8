/** Endpoints that the agent does not use and the fake does not serve, with the reason. Guests, storage, vzdump, tasks,
 * access, pools and the cluster reads are never in this table. */
export interface NotApplicable {
  readonly path: RegExp;
  readonly reason: string;
}

export const notApplicable: readonly NotApplicable[] = [
  { path: /^\/cluster\/(backup|backup-info)(\/|$)/, reason: 'backup jobs: the agent schedules its own backups' },
  { path: /^\/nodes\/[^/]+\/disks\//, reason: 'physical disks: read by the host helper, not over the API' },
  { path: /^\/nodes\/[^/]+\/scan\//, reason: 'scans of foreign servers: not used' },
  {
    path: /^\/nodes\/[^/]+\/(dns|services|syslog|journal|apt(?!\/versions)|hardware|aplinfo)(\/|$)/,
    reason: 'node administration: not used',
  },
  { path: /\/rrddata$/, reason: 'statistics files: not used' },
  { path: /^\/nodes\/[^/]+\/qemu(\/|$)/, reason: 'virtual machines: the agent manages containers only' },
  {
    path: /^\/nodes\/[^/]+\/storage\/[^/]+\/(file-restore|download-url)(\/|$)/,
    reason: 'file restore and downloads: not used',
  },
  { path: /^!\/$/, reason: 'the web interface' },
];

export function whyNotApplicable(path: string): string | undefined {
  return notApplicable.find((entry) => entry.path.test(path))?.reason;
}
