/** What is past waits for something else than time. */
export const soonest = (times: readonly (number | undefined)[], now: number): number | undefined => {
  const known = times.filter((at): at is number => at !== undefined && Number.isFinite(at) && at > now);
  return known.length === 0 ? undefined : Math.min(...known);
};
