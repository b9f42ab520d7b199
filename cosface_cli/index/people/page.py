def write_people_page(*a: object) -> None:
    raise NotImplementedError
