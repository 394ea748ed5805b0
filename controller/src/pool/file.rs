//! The pools file: what a platform engineer writes of each pool, by its name.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;

use super::kubernetes::Settings;

/// # Errors
/// It cannot be read, or says something that pools do not have: the message names the place.
pub fn read(path: &Path) -> anyhow::Result<BTreeMap<String, Settings>> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
    parse(&text).with_context(|| format!("{shown} is no pools file"))
}

fn parse(text: &str) -> anyhow::Result<BTreeMap<String, Settings>> {
    let pools: BTreeMap<String, serde_yaml::Value> = serde_yaml::from_str(text)?;
    let pool = |(name, value): (String, serde_yaml::Value)| {
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        // as the value of a label
        let is_end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        let is_named = is_end(name.chars().next()) && is_end(name.chars().last());
        let is_named = is_named && name.len() <= 63 && name.chars().all(is_name);
        anyhow::ensure!(
            is_named,
            "`{name}` cannot be a name: use letters, digits, and `-` and `_` between them"
        );
        let settings: Settings = serde_yaml::from_value(value).with_context(|| name.clone())?;
        settings.check().with_context(|| name.clone())?;
        Ok((name, settings))
    };
    pools.into_iter().map(pool).collect()
}

#[cfg(test)]
mod tests {
    use assay_api::spec::Engine;

    use super::*;

    const POOL: &str = "h100:
  namespace: assay
  slots: 16
  controller: http://assay:8718
  image: worker:1
  memory: 64Gi
  storage: {mount: /assay, volume: {persistentVolumeClaim: {claimName: assay}}}
";

    #[test]
    fn a_pool_needs_little() {
        let pools = parse(POOL).unwrap();
        let pool = &pools["h100"];
        assert_eq!((pool.slots, pool.device.as_str()), (16, "nvidia.com/gpu"));
        assert_eq!((pool.grace.0, pool.keep_finished.0), (120, 3_600));
        assert_eq!(pool.patience(), assay_scheduler::Patience::default());
    }

    #[test]
    fn devices_say_what_trains_on_them() {
        let engine = |device: &str| {
            let pools = parse(&format!("{POOL}  device: {device}\n  cpu: 2\n")).unwrap();
            pools["h100"].engine()
        };
        assert_eq!(engine("nvidia.com/gpu"), Engine::CudaBf16);
        assert_eq!(engine("nvidia.com/mig-3g.40gb"), Engine::CudaBf16);
        assert_eq!(engine("example.com/accelerator"), Engine::CpuF32);
    }

    #[test]
    fn a_template_adds_what_nobody_thought_of() {
        let template = "  template:
    metadata: {annotations: {team: a}}
    spec:
      schedulerName: mine
      containers: [{name: worker, env: [{name: NCCL_DEBUG, value: INFO}]}, {name: sidecar, image: log:1}]
";
        parse(&format!("{POOL}{template}")).unwrap();
    }

    /// Each line after the pool's own, and what is said of it.
    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let table = [
            ("slot: 4", "h100: unknown field `slot`, expected one of"),
            ("grace: 2", "h100: invalid type: integer `2`, expected a string"),
            ("grace: soon", "h100: expected a time such as 90s, 30m, 12h or 2d, found `soon`"),
            ("cpu: many", "h100: expected a number of processors such as 8 or 500m, found `many`"),
            (
                "volumes: {d: {mount: data, volume: {emptyDir: {}}}}",
                "h100: volume d: mount: `data` is not absolute",
            ),
            (
                "volumes: {d: {mount: /d, volume: {nfss: {}}}}",
                "h100: volume d: volume: there is no `nfss`",
            ),
            (
                "volumes: {d: {mount: /d, volume: {}}}",
                "h100: volume d: volume: expected exactly one source, as in a pod",
            ),
            ("env: {ASSAY_RUN: x}", "h100: env: ASSAY_RUN is set by the pool itself"),
            (
                "template: {spec: {nodeSelektor: {a: b}}}",
                "h100: template: there is no `spec.nodeSelektor`",
            ),
            (
                "template: {spec: {restartPolicy: Always}}",
                "h100: template: spec.restartPolicy: an attempt's pod is never restarted",
            ),
            (
                "template: {spec: {containers: [{name: worker, args: [sleep]}]}}",
                "h100: template: spec.containers.worker.args: it is the pool's own",
            ),
            (
                "template: {spec: {containers: [{name: worker, env: [{name: ASSAY_RUN, value: x}]}]}}",
                "h100: template: spec.containers.worker.env: \"ASSAY_RUN\" is the pool's own",
            ),
            (
                "template: {metadata: {labels: {assay.dev/attempt: \"2\"}}}",
                "h100: template: metadata.labels: assay.dev/attempt is the pool's own",
            ),
            ("template: {spec: {containers: null}}", "h100: template: "),
        ];
        for (line, expected) in table {
            let error = parse(&format!("{POOL}  {line}\n")).expect_err(line);
            let said = format!("{error:#}");
            assert!(said.starts_with(expected), "{line}\n said {said}\n expected {expected}");
        }
    }
}
