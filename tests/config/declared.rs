//! Files of declared resources, as the program itself takes them.

use super::*;

fn trunkline(arguments: &[&str]) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline"));
    command.args(arguments).output().unwrap()
}

/// A config file that names a file of declared resources with this text.
fn config(directory: &Path, text: &str) -> PathBuf {
    let declared = directory.join("trunks.toml");
    std::fs::write(&declared, text).unwrap();
    let config = directory.join("node.toml");
    let store = directory.join("trunkline.db");
    let text = format!(
        "{SMALLEST}[declared]\nfiles = [{:?}]\n[store]\nurl = \"sqlite://{}\"\n\
         [[api.access_key]]\nid = \"AKIDEXAMPLE00000\"\nsecret = \"the-secret-of-this-test\"\naccount = \"111122223333\"\n",
        declared.display(),
        store.display()
    );
    std::fs::write(&config, text).unwrap();
    config
}

/// The store of that config, as a node that was started once leaves it.
fn make_store(directory: &Path) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(async {
        let url = format!("sqlite://{}", directory.join("trunkline.db").display());
        let store = trunkline::store::Store::open(&url).await.unwrap();
        store.close().await;
    });
}

#[test]
fn the_documented_file_of_declared_resources_is_right() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/declared.toml");
    let text = std::fs::read_to_string(path).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path(), &text);
    let checked = trunkline(&["check", config.to_str().unwrap()]);
    let said = String::from_utf8(checked.stdout).unwrap();
    assert!(checked.status.success(), "{said}");
    assert!(
        said.contains("  declared /") && said.contains("/trunks.toml\n"),
        "{said}"
    );
    assert!(!said.contains("change-me"));
}

#[test]
fn check_warns_of_a_connector_that_nobody_can_call() {
    let directory = tempfile::tempdir().unwrap();
    let connector = |encrypted: bool| {
        format!(
            "Account = \"111122223333\"\n[[VoiceConnector]]\nVoiceConnectorId = \"abcdefghijklmnopqrstuv\"\n\
             Name = \"encrypted\"\nRequireEncryption = {encrypted}\n"
        )
    };
    for encrypted in [true, false] {
        let config = config(directory.path(), &connector(encrypted));
        let checked = trunkline(&["check", config.to_str().unwrap()]);
        let said = String::from_utf8(checked.stdout).unwrap();
        assert!(checked.status.success(), "{said}");
        let warning = "warning: voice connector abcdefghijklmnopqrstuv requires encryption";
        assert_eq!(said.contains(warning), encrypted, "{said}");
    }
}

#[test]
fn check_refuses_wrong_declared_resources() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(
        directory.path(),
        "Account = \"111122223333\"\n[[PhoneNumber]]\n",
    );
    let config = config.to_str().unwrap();
    let expected = "trunks.toml:2: PhoneNumber[0].E164PhoneNumber is required";
    let checked = trunkline(&["check", config]);
    assert_eq!(checked.status.code(), Some(2));
    let said = String::from_utf8(checked.stderr).unwrap();
    assert!(said.trim_end().ends_with(expected), "{said}");
}

#[test]
fn an_export_of_an_account_that_nobody_knows_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path(), "Account = \"111122223333\"\n");
    let config = config.to_str().unwrap();
    make_store(directory.path());
    let unknown = trunkline(&["export", "--config", config, "999999999999"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(unknown.stdout.is_empty());
    let said = String::from_utf8(unknown.stderr).unwrap();
    assert!(
        said.starts_with("999999999999: the store has nothing"),
        "{said}"
    );
    // One that an access key is of has nothing yet, which is no error.
    let exported = trunkline(&["export", "--config", config, "111122223333"]);
    assert_eq!(
        String::from_utf8(exported.stdout).unwrap(),
        "Account = \"111122223333\"\n"
    );
}
