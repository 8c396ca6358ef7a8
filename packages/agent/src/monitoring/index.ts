/**
 * Monitoring: what the host itself is like, and whether a person should know.
 *
 * Owns the rounds over kernel files, systemd, disks, locks, tasks of others, what ends by a date, and the tunnel; their
 * thresholds come from the host policy. Never changes anything, but that root is asked to restart a tunnel which hangs,
 * within limits; and never asks in a way that may block: what can hang is behind ports that do not wait for it.
 *
 * Read in this order: latch and growth (numbers over time), judge-host, judge-disks, judge-pools, judge-locks, judge-tasks,
 * judge-expiry, judge-tunnel, decide-restart (each pure), tunnel-restarts, vitals, monitoring (the rounds).
 */
export { createMonitoring } from './monitoring.ts';
export type { Monitoring, MonitoringNeeds, MonitoringPorts } from './monitoring.ts';
export type { Ending } from './judge-expiry.ts';
export { isDown, proxmoxServices } from './judge-host.ts';
export { tunnelUnit } from './judge-tunnel.ts';
