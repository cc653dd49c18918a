"""What tests share: servers, stand-ins and builders."""
